/** Services: what is read together. A service pins the versions of its views until it is applied again. */
import type { Call } from '#core/caller.ts'
import { changeTo, definitionsIn } from '#core/definitions.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { PageQuery } from '#core/page.ts'
import { audit } from '#core/tenants/tenants.ts'
import type { ServiceDefinition } from '#schemas/contracts/features.ts'
import { featureServices } from '#schemas/tables/features.ts'
import { compileService, outputsOf } from './compile.ts'
import { nameOf } from './expression/tree.ts'
import { mustBeProven } from './proofs.ts'
import { newestPlans } from './view-registry.ts'

type Row = typeof featureServices.$inferSelect
type Input = ServiceDefinition & { service: string }

const registry = definitionsIn(featureServices, { one: 'service', listing: 'services' })

/** What the definition would become. Throws `invalid_definition`. */
export async function planService(unit: Unit, input: Input) {
  const { plan, newest } = await compiled(unit, input)
  return { name: input.service, ...changeTo(newest, plan), hash: plan.hash, warnings: [] }
}

/** The service as it is now: unchanged, or its next version. Throws `not_proven`. */
export async function applyService(unit: Unit, call: Call, input: Input) {
  const { tenantId } = call.caller
  const { service: name, ...definition } = input
  await registry.lock(unit, tenantId, name)
  const { plan, newest } = await compiled(unit, input)
  if (newest?.hash === plan.hash) return { ...shown(newest), warnings: [] }
  await mustBeProven(unit, newest?.plan ?? null, plan)
  const row = await registry.add(unit, tenantId, { name, last: newest, definition, plan })
  const detail = { version: row.version, hash: row.hash }
  await audit.record(unit, call, { action: 'services.apply', target: name, detail })
  return { ...shown(row), warnings: [] }
}

export const services = (unit: Unit, query: PageQuery) => registry.page(unit, query, shown)

export async function service(unit: Unit, { service: name }: { service: string }) {
  const row = await registry.newest(unit, name)
  if (row) return shown(row)
  throw new AppError('not_found', { public: `There is no feature service "${name}".` })
}

/** The plan that serves, or that of a version; null: there is no such service or version. */
export const servicePlan = registry.plan

async function compiled(unit: Unit, { service: name, ...definition }: Input) {
  const names = [...new Set(definition.features.map(feature => feature.split(':')[0]!))]
  const plans = await newestPlans(unit, names)
  return {
    plan: await compileService(name, definition, plans),
    newest: await registry.newest(unit, name),
  }
}

function shown(row: Row) {
  return {
    name: row.name,
    version: row.version,
    hash: row.hash,
    created_at: row.createdAt.toISOString(),
    definition: row.definition,
    views: row.plan.views.map(({ view, version, hash }) => ({ name: view, version, hash })),
    features: outputsOf(row.plan).map(({ name, type }) => ({ name, type: nameOf(type) })),
  }
}
