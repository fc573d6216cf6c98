/** Decision endpoints: every version immutable; decisions name the one that made them. */
import type { Call } from '#core/caller.ts'
import { definitionsIn } from '#core/definitions.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import * as features from '#core/features/features.ts'
import * as models from '#core/models/models.ts'
import type { PageQuery } from '#core/page.ts'
import { audit } from '#core/tenants/tenants.ts'
import type { EndpointDefinition } from '#schemas/contracts/decisions.ts'
import type { DecisionPlan } from '#schemas/decision.ts'
import { decisionEndpoints } from '#schemas/tables/decisions.ts'
import { compileEndpoint, wrongAt } from './compile.ts'

type Row = typeof decisionEndpoints.$inferSelect

const registry = definitionsIn(decisionEndpoints, { one: 'endpoint', listing: 'endpoints' })

/** The endpoint as it is now: unchanged, or its next version. It pins the service as that is now. */
export async function applyEndpoint(
  unit: Unit,
  call: Call,
  input: EndpointDefinition & { endpoint: string },
) {
  const { tenantId } = call.caller
  const { endpoint: name, ...definition } = input
  await registry.lock(unit, tenantId, name)
  const plan = await compiled(unit, name, definition)
  const newest = await registry.newest(unit, name)
  if (newest?.hash === plan.hash) return shown(newest)
  const row = await registry.add(unit, tenantId, { name, last: newest, definition, plan })
  const detail = { version: row.version, hash: row.hash }
  await audit.record(unit, call, { action: 'endpoints.apply', target: name, detail })
  return shown(row)
}

export const endpoints = (unit: Unit, query: PageQuery) => registry.page(unit, query, shown)

export async function endpoint(unit: Unit, { endpoint: name }: { endpoint: string }) {
  return shown(await mustExist(unit, name))
}

/** The newest version. Throws `not_found`. */
export async function mustExist(unit: Unit, name: string): Promise<Row> {
  const row = await registry.newest(unit, name)
  if (row) return row
  throw new AppError('not_found', { public: `There is no decision endpoint "${name}".` })
}

/** The plan that decides, or of one version; null: there is none. */
export const endpointPlan = registry.plan

/** What the definition would become, by what it names as that is now. Throws `invalid_definition`. */
export async function compiled(
  unit: Unit,
  name: string,
  definition: EndpointDefinition,
): Promise<DecisionPlan> {
  return compileEndpoint(name, definition, await partsOf(unit, definition))
}

async function partsOf(unit: Unit, { event_type, service, model }: EndpointDefinition) {
  const event = await events.newestType(unit, event_type)
  if (!event)
    throw wrongAt('/event_type', `There is no event type "${event_type}"; declare it first.`)
  const plan = await features.servicePlan(unit, service)
  if (!plan) throw wrongAt('/service', `There is no feature service "${service}"; apply it first.`)
  if (!model) return { event, service: plan, signature: null }
  const version = model.version === undefined ? undefined : String(model.version)
  const { signature } = await models.resolve(unit, model.name, version)
  return { event, service: plan, signature }
}

function shown({ name, version, hash, createdAt, definition, plan }: Row) {
  const { service, version: serviceVersion, hash: serviceHash } = plan.service
  return {
    name,
    version,
    hash,
    created_at: createdAt.toISOString(),
    definition,
    service: { name: service, version: serviceVersion, hash: serviceHash },
  }
}
