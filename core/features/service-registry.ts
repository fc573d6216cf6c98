/** Services: what is read together. A service pins the versions of its views until it is applied again. */
import { and, asc, desc, eq, gt, sql } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { cursorOf, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import { audit } from '#core/tenants/tenants.ts'
import type { ServiceDefinition } from '#schemas/contracts/features.ts'
import type { ServicePlan } from '#schemas/feature.ts'
import { featureServices } from '#schemas/tables/features.ts'
import { compileService, outputsOf } from './compile.ts'
import { nameOf } from './expression/tree.ts'
import { mustBeProven } from './proofs.ts'
import { newestPlans } from './view-registry.ts'

type Row = typeof featureServices.$inferSelect
type Input = ServiceDefinition & { service: string }

/** What the definition would become. Throws `invalid_definition`. */
export async function planService(unit: Unit, input: Input) {
  const { plan, newest } = await compiled(unit, input)
  const change = !newest ? 'new' : newest.hash === plan.hash ? 'same' : 'next'
  const version = change === 'same' ? newest!.version : (newest?.version ?? 0) + 1
  return { name: input.service, change, version, hash: plan.hash, warnings: [] }
}

/** The service as it is now: unchanged, or its next version. Throws `not_proven`. */
export async function applyService(unit: Unit, call: Call, input: Input) {
  const { tenantId } = call.caller
  const { service: name, ...definition } = input
  await unit.tx.execute(
    sql`select pg_advisory_xact_lock(hashtext(${`${tenantId} service ${name}`}))`,
  )
  const { plan, newest } = await compiled(unit, input)
  if (newest?.hash === plan.hash) return { ...shown(newest), warnings: [] }
  await mustBeProven(unit, newest?.plan ?? null, plan)
  const version = (newest?.version ?? 0) + 1
  const { hash } = plan
  const row: Row = {
    tenantId,
    name,
    version,
    hash,
    definition,
    plan: { ...plan, version },
    active: true,
    createdAt: new Date(unit.clock.now()),
  }
  await unit.tx.insert(featureServices).values(row)
  const detail = { version, hash }
  await audit.record(unit, call, { action: 'services.apply', target: name, detail })
  return { ...shown(row), warnings: [] }
}

export async function services(unit: Unit, query: PageQuery) {
  const after = textPosition('services', query.cursor)
  const rows = await unit.tx
    .selectDistinctOn([featureServices.name])
    .from(featureServices)
    .where(after ? gt(featureServices.name, after) : undefined)
    .orderBy(asc(featureServices.name), desc(featureServices.version))
    .limit(query.limit + 1)
  return pageOf(rows, query, row => cursorOf('services', row.name), shown)
}

export async function service(unit: Unit, { service: name }: { service: string }) {
  const row = await newestOf(unit, name)
  if (row) return shown(row)
  throw new AppError('not_found', { public: `There is no feature service "${name}".` })
}

/** The plan that serves, or that of a version; null: there is no such service or version. */
export async function servicePlan(
  unit: Unit,
  name: string,
  version?: number,
): Promise<ServicePlan | null> {
  if (version === undefined) return (await newestOf(unit, name))?.plan ?? null
  const [row] = await unit.tx
    .select()
    .from(featureServices)
    .where(and(eq(featureServices.name, name), eq(featureServices.version, version)))
  return row?.plan ?? null
}

async function compiled(unit: Unit, { service: name, ...definition }: Input) {
  const names = [...new Set(definition.features.map(feature => feature.split(':')[0]!))]
  const plans = await newestPlans(unit, names)
  return { plan: await compileService(name, definition, plans), newest: await newestOf(unit, name) }
}

async function newestOf(unit: Unit, name: string): Promise<Row | null> {
  const [row] = await unit.tx
    .select()
    .from(featureServices)
    .where(eq(featureServices.name, name))
    .orderBy(desc(featureServices.version))
    .limit(1)
  return row ?? null
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
