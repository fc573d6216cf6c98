/** From what was read to an answer: the model asked, the rules held to its score. */
import type { Call } from '#core/caller.ts'
import { pathOf } from '#core/decisions/source.ts'
import type { EntityRead, Servable } from '#core/deps.ts'
import type { Judge, Outcome } from '#schemas/decision.ts'
import type { Event } from '#schemas/event.ts'
import type { RequestId } from '#schemas/ids.ts'
import type { EdgeDeps } from '../deps.ts'
import type { ModelDirectory } from '../models.ts'
import { type Answering, withoutRollout } from '../rollouts/answering.ts'
import type { Decider } from './decider.ts'
import type { EndpointDirectory } from './endpoints.ts'
import type { Outcomes } from './outcomes.ts'

export type DecisionDeps = {
  deps: EdgeDeps
  models: ModelDirectory
  endpoints: EndpointDirectory
  outcomes: Outcomes
  answering: Answering
}
export type Made = { reads: readonly EntityRead[]; event: Event; judge: Judge }

/**
 * Throws what the model's runner throws: then there is no answer, and the event stays applied. `trial`: the
 * decision was made before, and is made again to see whether it comes out the same.
 */
export async function outcomeOf(
  edge: DecisionDeps,
  call: Call,
  decider: Decider,
  { reads, event, judge }: Made,
  deadline: number,
  kind?: 'trial',
): Promise<Outcome> {
  const { plan } = decider
  const values = decider.named(reads, event.data)
  let model: Outcome['model'] = null
  if (plan.model) {
    const version = judge.modelVersion ? String(judge.modelVersion) : plan.model.version
    const servable = await modelOf(edge, call, plan.model.model, version)
    // Named after the decision and not the request: asked again, it leaves the same receipt.
    const requestId = `dec_${event.key}_${plan.endpoint}` as RequestId
    const logged = loggedOf(servable, decider, event)
    const question = decider.scoring!.question(decider.scoring!.row(values), logged)
    const asked = { call: { ...call, requestId }, ...question, deadline, kind }
    const reply = await edge.answering.run(withoutRollout(servable), asked, null)
    values.score = decider.scoring!.scores(reply, 1)[0]!
    const { digest } = servable
    model = { name: plan.model.model, version: servable.version, digest, receipt: reply.receiptId }
  }
  const { answer, reasons } = decider.judge(values)
  const score = (values.score as number | undefined) ?? null
  return { answer, score, reasons, features: decider.shown(values), model }
}

/** What the inference log is told, where there is one: by what the features are found again, and whom it is about. */
function loggedOf({ serving }: Servable, { plan, keys }: Decider, event: Event) {
  const setting = serving?.inference_log
  if (!setting) return undefined
  const { subject } = setting
  const { gate, others } = keys(event)
  const about = subject && [gate, ...others].find(({ entity }) => entity === subject.entity)
  const features = pathOf(plan, event)
  return about ? { [subject.parameter]: about.entityKey, features } : { features }
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
