/** Why a score is what it is, for who asks: one more question to the model, of many rows. */
import type { Call } from '#core/caller.ts'
import {
  EXPLAINED_FEATURES_MAX,
  METHOD,
  type Moved,
  ranked,
  replacedRows,
} from '#core/decisions/reasons.ts'
import type { Servable } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Outcome } from '#schemas/decision.ts'
import type { RequestId } from '#schemas/ids.ts'
import type { Decider } from './decider.ts'
import { type DecisionDeps, type Made, modelOf } from './outcome.ts'

const TRIAL = { kind: 'trial' } as const

export type Explanation = { method: typeof METHOD; features: Moved[] }

/** Throws `invalid_body` where there is no score to explain, or none that can be. */
export function mustExplain({ plan }: Decider, model: Servable | null): void {
  const wrong = (why: string) =>
    new AppError('invalid_body', {
      public: `/explain: ${why}`,
      errors: [{ pointer: '/explain', detail: why }],
    })
  if (!plan.model || !model)
    throw wrong(`"${plan.endpoint}" asks no model: its reasons are its rules.`)
  const count = plan.model.features.length
  if (count > EXPLAINED_FEATURES_MAX) {
    throw wrong(
      `A score is explained by at most ${EXPLAINED_FEATURES_MAX} features; here are ${count}.`,
    )
  }
  const [rows] = model.signature.inputs[0]!.shape
  if (rows !== -1)
    throw wrong(`"${model.model}" takes one row at a time; an explanation asks many.`)
}

export async function explain(
  edge: DecisionDeps,
  call: Call,
  decider: Decider,
  { reads, event }: Made,
  { score, model }: Outcome,
  deadline: number,
): Promise<Explanation> {
  const input = decider.plan.model!
  const scoring = decider.scoring!
  const row = scoring.row(decider.named(reads, event.data))
  const replaced = replacedRows(row, input)
  const count = replaced.places.length
  if (count === 0) return { method: METHOD, features: [] }
  const servable = await modelOf(edge, call, model!.name, String(model!.version))
  // Work of its own, with a receipt of its own, of rows that nobody has asked about.
  const requestId = `why_${event.key}_${decider.plan.endpoint}` as RequestId
  const question = scoring.question(replaced.rows)
  const asked = { call: { ...call, requestId }, model: servable, ...question, deadline, ...TRIAL }
  const without = scoring.scores(await edge.deps.router.infer(asked, null), count)
  return { method: METHOD, features: ranked({ score: score!, row }, input, replaced, without) }
}
