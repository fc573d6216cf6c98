/** Decisions of the past that another model would have been asked about: it is asked now, many at a time. */
import type { Call } from '#core/caller.ts'
import type { Backtest } from '#core/decisions/decisions.ts'
import { compilePolicy } from '#core/decisions/policy.ts'
import { compileScoring } from '#core/decisions/scoring.ts'
import { Tally, type Tried } from '#core/decisions/tally.ts'
import { newId } from '#schemas/ids.ts'
import { type DecisionDeps, modelOf } from './outcome.ts'

const ROWS_AT_ONCE = 256
const DEADLINE_MS = 60_000
/** Nobody asks about these rows again: the model is measured, not used. */
const TRIAL = { kind: 'trial' } as const

/** The whole of a backtest whose other half the functions did. Throws what the model's runner throws. */
export async function scored(
  edge: DecisionDeps,
  call: Call,
  { unscored, ...before }: Backtest,
): Promise<Tried> {
  const input = unscored?.plan.model
  if (!unscored || !input) return before
  const { plan, rows } = unscored
  const { router, clock } = edge.deps
  const model = await modelOf(edge, call, input.model, input.version)
  const scoring = compileScoring(input, plan.scope)
  const judge = compilePolicy(plan)
  const tally = new Tally(before)
  const isBatched = model.signature.inputs[0]!.shape[0] === -1
  const step = isBatched ? ROWS_AT_ONCE : 1
  for (let at = 0; at < rows.length; at += step) {
    const some = rows.slice(at, at + step)
    const shown = new Float32Array(some.length * input.features.length)
    for (const [i, { values }] of some.entries()) {
      shown.set(scoring.row(values), i * input.features.length)
    }
    const now = clock.now()
    const asked = { call: { ...call, requestId: newId('request', now) }, model }
    const question = { ...asked, ...scoring.question(shown), deadline: now + DEADLINE_MS, ...TRIAL }
    const scores = scoring.scores(await router.infer(question, null), some.length)
    for (const [i, { values, ...past }] of some.entries()) {
      const score = scores[i]!
      tally.count(past, judge({ ...values, score }).answer, score)
    }
  }
  return tally.result()
}
