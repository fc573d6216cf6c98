/** Decisions: features strictly before the event, the event applied, the model asked, the rules held to it. */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import { misfit } from '#core/decisions/scoring.ts'
import { sourceOf } from '#core/decisions/source.ts'
import type { Decided, EntityKey, Servable } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { checkedEvent } from '#core/events/contract.ts'
import { partitionOf } from '#core/events/partition.ts'
import { textOf } from '#core/events/time.ts'
import { DECISION_BODY_BYTES_MAX } from '#schemas/contracts/decisions.ts'
import type { DecisionPlan, Judge, ModelInput, Outcome } from '#schemas/decision.ts'
import type { Event } from '#schemas/event.ts'
import { compileDecider, type Decider } from '../decisions/decider.ts'
import { explain, mustExplain } from '../decisions/explain.ts'
import { jsonOf } from '../decisions/json.ts'
import { type DecisionDeps, modelOf, outcomeOf, told } from '../decisions/outcome.ts'
import { readRows } from '../features/read.ts'
import { ask } from '../functions-client.ts'
import { featuresFor } from '../traces/features.ts'
import { deadlineMsOf } from './oip.ts'

type Asked = { event: Event; isTimed: boolean; explain: boolean }

export async function decide(edge: DecisionDeps, c: Context, call: Call): Promise<Response> {
  const { deps, endpoints, outcomes } = edge
  const { caller } = call
  const name = c.req.param('endpoint')!
  const now = deps.clock.now()
  const newest =
    endpoints.known(caller.tenantId, name, now) ?? (await endpoints.resolve(caller, name))
  const deadline = now + deadlineMsOf(deps.http.header(c, 'galley-timeout-ms'))
  const body = await deps.http.body(c, DECISION_BODY_BYTES_MAX)
  const asked = askedOf(newest, call, body, now)
  const { event } = asked
  const decided = await applied(edge, call, newest, asked)
  const decider = await deciderOf(edge, call, newest, decided.endpoint)
  const made = { reads: decided.reads, event, judge: decided.endpoint }
  const outcome = await outcomeOf(edge, call, decider, made, deadline).catch(unanswered)
  outcomes.tell(caller.tenantId, {
    eventKey: event.key,
    endpoint: decided.endpoint,
    at: decided.reads[0]!.at,
    outcome,
  })
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'galley-request-id': call.requestId,
  }
  if (outcome.model) {
    headers['galley-receipt'] = outcome.model.receipt
    headers['galley-model-digest'] = outcome.model.digest
  }
  const reply = replyOf(decider, event, decided, outcome)
  const explanation = asked.explain
    ? await explain(edge, call, decider, made, outcome, deadline).catch(unanswered)
    : undefined
  return deps.http.reply(c, 200, headers, JSON.stringify({ ...reply, explanation }))
}

/** The event is applied and its snapshot kept: what is missing is an answer, for which to ask again. */
function unanswered(error: unknown): never {
  if (!(error instanceof AppError) || error.status < 500) throw error
  throw new AppError(error.code, {
    public: `${error.public} The event was applied; ask again with the same id for the answer.`,
    internal: error.message,
    retryable: true,
    retryAfterS: error.retryAfterS ?? 1,
    cause: error,
  })
}

/** What is asked again is judged as it was the first time, also when the endpoint has changed since. */
async function deciderOf(
  { deps }: DecisionDeps,
  { caller }: Call,
  newest: Decider,
  { name, version }: Judge,
): Promise<Decider> {
  if (newest.plan.version === version) return newest
  const asked = { tenantId: caller.tenantId, endpoint: name, version }
  const { plan } = await ask<{ plan: DecisionPlan | null }>(
    deps,
    '/internal/decisions/endpoint',
    asked,
  )
  if (plan) return compileDecider(plan)
  throw new AppError('internal', { internal: `no version ${version} of the endpoint ${name}` })
}

/** The event, held against the endpoint's contract; without a time it happens when the object takes it. */
function askedOf({ plan }: Decider, call: Call, body: Uint8Array, nowMs: number): Asked {
  const { id, source, time, data, explain = false, ...rest } = jsonOf(body)
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) {
    const detail = 'A decision takes id, source, time, data and explain.'
    throw invalid([{ pointer: `/${unknown}`, detail }])
  }
  if (typeof explain !== 'boolean') {
    throw invalid([{ pointer: '/explain', detail: 'It must be true or false.' }])
  }
  const raw = { id, source: source ?? sourceOf(plan), time, data }
  const about = { tenantId: call.caller.tenantId, receivedAt: nowMs * 1_000 }
  const checked = checkedEvent(plan.event, raw, about)
  if ('errors' in checked) throw invalid(checked.errors)
  return { event: checked.event, isTimed: time !== undefined, explain }
}

async function applied(
  edge: DecisionDeps,
  call: Call,
  decider: Decider,
  { event, isTimed, explain }: Asked,
): Promise<Decided> {
  const features = featuresFor(edge.deps, call)
  const { tenantId } = call.caller
  const { plan, reader } = decider
  const { gate, others } = decider.keys(event)
  const groupOf = (key: EntityKey) =>
    Math.floor(partitionOf(key.entity, key.entityKey) / features.partitionsPerObject)
  const group = groupOf(gate)
  const also = others.filter(key => groupOf(key) === group)
  const elsewhere = others.filter(key => groupOf(key) !== group)
  // Before anything is applied: a model that is not there applies nothing, and a retry is scored by this one.
  const model = plan.model && (await fittingModel(edge, call, plan, plan.model))
  if (explain) mustExplain(decider, model)
  const [given = []] =
    elsewhere.length > 0 ? await readRows(features, tenantId, reader, [elsewhere]) : []
  return features.group(tenantId, group).decide({
    planHash: plan.service.hash,
    plan: plan.service,
    event,
    isTimed,
    gate,
    also,
    given,
    onlineDays: plan.event.online_days,
    endpoint: { name: plan.endpoint, version: plan.version, modelVersion: model?.version ?? null },
  })
}

/** An alias may have moved to a version that takes something else. Throws `conflict`. */
async function fittingModel(
  edge: DecisionDeps,
  call: Call,
  { endpoint }: DecisionPlan,
  input: ModelInput,
): Promise<Servable> {
  const model = await modelOf(edge, call, input.model, input.version)
  const wrong = misfit(input, model.signature)
  if (!wrong) return model
  throw new AppError('conflict', {
    public: `Version ${model.version} of the model does not fit "${endpoint}": ${wrong.detail}`,
  })
}

function replyOf(
  { plan }: Decider,
  event: Event,
  { position, reads, repeated }: Decided,
  outcome: Outcome,
) {
  return {
    ...told(outcome),
    endpoint: { name: plan.endpoint, version: plan.version },
    event: {
      source: event.source,
      id: event.id,
      seq: position.seq,
      known_at: textOf(position.knownAt),
    },
    reads: reads.map(({ entity, entityKey, partition, seq, at }) => ({
      entity,
      entity_key: entityKey,
      partition,
      seq,
      at: textOf(at),
    })),
    repeated,
  }
}

function invalid(errors: { pointer: string; detail: string }[]): AppError {
  const [first] = errors
  return new AppError('invalid_event', { public: `${first!.pointer}: ${first!.detail}`, errors })
}
