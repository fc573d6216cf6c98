/** A decision made again: from its events, by the version of the model and the rules that made it. */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import { sourceOf } from '#core/decisions/source.ts'
import type { EntityRead } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { canonical } from '#core/features/compile.ts'
import { DECISION_BODY_BYTES_MAX } from '#schemas/contracts/decisions.ts'
import type { DecisionPlan, Outcome, Snapshot } from '#schemas/decision.ts'
import { DEADLINE_MS_DEFAULT } from '#schemas/serving.ts'
import { compileDecider, type Decider } from '../decisions/decider.ts'
import { jsonOf } from '../decisions/json.ts'
import { type DecisionDeps, outcomeOf, told } from '../decisions/outcome.ts'
import type { EdgeDeps } from '../deps.ts'
import { ask } from '../functions-client.ts'

type Stored = { snapshot?: Snapshot; outcome?: Outcome | null; plan: DecisionPlan | null }

/** Reads what was read again, as of then, asks the same version of the model, and compares all of it. */
export async function replay(edge: DecisionDeps, c: Context, call: Call): Promise<Response> {
  const { deps } = edge
  const endpoint = c.req.param('endpoint')!
  const { id, source } = jsonOf(await deps.http.body(c, DECISION_BODY_BYTES_MAX))
  if (typeof id !== 'string' || (source !== undefined && typeof source !== 'string')) {
    throw new AppError('invalid_body', {
      public: 'A replay takes the id of the event and, perhaps, its source.',
    })
  }
  const asked = { tenantId: call.caller.tenantId, endpoint, id, source }
  const stored = await ask<Stored>(deps, '/internal/decisions/stored', asked)
  const { snapshot, outcome = null, plan } = stored
  if (!snapshot || !plan) {
    throw new AppError('not_found', {
      public: `"${endpoint}" has decided no event with source "${sourceOf({ endpoint, source })}" and id "${id}", or it is not in the log yet.`,
    })
  }
  const decider = compileDecider(plan)
  const reads = await readAgain(deps, call, decider, snapshot)
  const made = { reads, event: snapshot.event, judge: snapshot.endpoint }
  const deadline = deps.clock.now() + DEADLINE_MS_DEFAULT
  // Without an outcome this is the first time that the model is asked.
  const again = await outcomeOf(edge, call, decider, made, deadline, outcome ? 'trial' : undefined)
  if (!outcome) keep(edge, call, snapshot, again)
  const differs = differencesOf(snapshot, reads, outcome, again)
  const equal = differs.length === 0
  return Response.json({ equal, differs, decided: outcome && told(outcome), replayed: told(again) })
}

/** What was never answered, or whose answer was lost with an edge, is answered now. */
function keep({ outcomes }: DecisionDeps, { caller }: Call, snapshot: Snapshot, outcome: Outcome) {
  const { event, endpoint, reads } = snapshot
  outcomes.tell(caller.tenantId, { eventKey: event.key, endpoint, at: reads[0]!.at, outcome })
}

/** The features of every entity, from its events, as they were known when the decision was made. */
async function readAgain(deps: EdgeDeps, { caller }: Call, decider: Decider, snapshot: Snapshot) {
  const { features } = deps
  const { service } = decider.plan
  return Promise.all(
    snapshot.reads.map(async ({ entity, entityKey, partition, seq, at }): Promise<EntityRead> => {
      const group = Math.floor(partition / features.partitionsPerObject)
      const keys = [{ entity, entityKey }]
      const input = { planHash: service.hash, plan: service, keys, at }
      const { reads } = await features.group(caller.tenantId, group).read(input)
      return { ...reads[0]!, seq }
    }),
  )
}

/** What is not the same to the bit. JSON tells every double apart but -0, which no value here is. */
function differencesOf(
  snapshot: Snapshot,
  reads: EntityRead[],
  before: Outcome | null,
  again: Outcome,
): string[] {
  // The database keeps names in an order of its own.
  const differs = (a: unknown, b: unknown) => canonical(a) !== canonical(b)
  const entities = snapshot.reads.flatMap((read, i) =>
    differs(read.views, reads[i]!.views) ? [`features of ${read.entity}`] : [],
  )
  if (!before) return entities
  const parts = (['answer', 'score', 'reasons', 'features'] as const).filter(part =>
    differs(before[part], again[part]),
  )
  const digest = before.model?.digest !== again.model?.digest ? ['model digest'] : []
  return [...entities, ...parts, ...digest]
}
