/** From what was read to an answer: the model asked, the rules held to its score. */
import type { Call } from '#core/caller.ts'
import type { EntityRead, Servable } from '#core/deps.ts'
import type { Judge, Outcome } from '#schemas/decision.ts'
import type { Event } from '#schemas/event.ts'
import type { RequestId } from '#schemas/ids.ts'
import type { EdgeDeps } from '../deps.ts'
import type { ModelDirectory } from '../models.ts'
import type { Decider } from './decider.ts'
import type { EndpointDirectory } from './endpoints.ts'
import type { Outcomes } from './outcomes.ts'

export type DecisionDeps = {
  deps: EdgeDeps
  models: ModelDirectory
  endpoints: EndpointDirectory
  outcomes: Outcomes
}
export type Made = { reads: readonly EntityRead[]; event: Event; judge: Judge }

/** Throws what the model's runner throws: then there is no answer, and the event stays applied. */
export async function outcomeOf(
  edge: DecisionDeps,
  call: Call,
  decider: Decider,
  { reads, event, judge }: Made,
  deadline: number,
): Promise<Outcome> {
  const { plan } = decider
  const values = decider.named(reads, event.data)
  let model: Outcome['model'] = null
  if (plan.model) {
    const version = judge.modelVersion ? String(judge.modelVersion) : plan.model.version
    const servable = await modelOf(edge, call, plan.model.model, version)
    // Named after the decision and not the request: asked again, it leaves the same receipt.
    const requestId = `dec_${event.key}_${plan.endpoint}` as RequestId
    const question = decider.scoring!.question(decider.scoring!.row(values))
    const asked = { call: { ...call, requestId }, model: servable, ...question, deadline }
    const reply = await edge.deps.router.infer(asked, null)
    values.score = decider.scoring!.scores(reply, 1)[0]!
    const { digest } = servable
    model = { name: plan.model.model, version: servable.version, digest, receipt: reply.receiptId }
  }
  const { answer, reasons } = decider.judge(values)
  const score = (values.score as number | undefined) ?? null
  return { answer, score, reasons, features: decider.shown(values), model }
}

export async function modelOf(
  { deps, models }: DecisionDeps,
  call: Call,
  name: string,
  version: string | null,
): Promise<Servable> {
  const wanted = version ?? undefined
  const known = models.known(call.caller.tenantId, name, wanted, deps.clock.now())
  return known ?? models.resolve(call, name, wanted)
}

/** As callers see it. */
export function told({ answer, ...rest }: Outcome) {
  return { decision: answer, ...rest }
}
