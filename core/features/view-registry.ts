/** Views: each version is immutable and known by the hash of all that changes a value. */
import { asc, desc, inArray } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import { changeTo, definitionsIn } from '#core/definitions.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import type { PageQuery } from '#core/page.ts'
import { audit } from '#core/tenants/tenants.ts'
import type { ViewDefinition } from '#schemas/contracts/features.ts'
import type { ViewPlan } from '#schemas/feature.ts'
import { featureViews } from '#schemas/tables/features.ts'
import { extentOf, wrongAt } from './compile/feature.ts'
import { compileView } from './compile.ts'
import { nameOf } from './expression/tree.ts'
import { leaksOf } from './leakage.ts'

type Row = typeof featureViews.$inferSelect
type Input = ViewDefinition & { view: string }

const registry = definitionsIn(featureViews, { one: 'view', listing: 'views' })

/** What the definition would become. Throws `invalid_definition`. */
export async function planView(unit: Unit, input: Input) {
  const { plan, newest } = await compiled(unit, input)
  return { name: input.view, ...changeTo(newest, plan), hash: plan.hash, warnings: leaksOf(plan) }
}

/** The view as it is now: unchanged, or its next version. Services keep the version that they pinned. */
export async function applyView(unit: Unit, call: Call, input: Input) {
  const { tenantId } = call.caller
  const { view: name, ...definition } = input
  await registry.lock(unit, tenantId, name)
  const { plan, newest } = await compiled(unit, input)
  const warnings = leaksOf(plan)
  if (newest?.hash === plan.hash) return { ...shown(newest), warnings }
  const row = await registry.add(unit, tenantId, { name, last: newest, definition, plan })
  const detail = { version: row.version, hash: row.hash }
  await audit.record(unit, call, { action: 'views.apply', target: name, detail })
  return { ...shown(row), warnings }
}

export const views = (unit: Unit, query: PageQuery) => registry.page(unit, query, shown)

export async function view(unit: Unit, { view: name }: { view: string }) {
  const row = await registry.newest(unit, name)
  if (row) return shown(row)
  throw new AppError('not_found', { public: `There is no feature view "${name}".` })
}

/** The plan of a version, or of the newest; null: there is none. */
export const viewPlan = registry.plan

/** The newest plans of views, by name; those that there are not are left out. */
export async function newestPlans(unit: Unit, names: string[]): Promise<Map<string, ViewPlan>> {
  if (names.length === 0) return new Map()
  const rows = await unit.tx
    .selectDistinctOn([featureViews.name])
    .from(featureViews)
    .where(inArray(featureViews.name, names))
    .orderBy(asc(featureViews.name), desc(featureViews.version))
  return new Map(rows.map(row => [row.name, row.plan]))
}

async function compiled(unit: Unit, { view: name, ...definition }: Input) {
  const type = await events.newestType(unit, definition.event_type)
  if (!type) {
    const detail = `There is no event type "${definition.event_type}"; declare it first.`
    throw new AppError('invalid_definition', {
      public: detail,
      errors: [{ pointer: '/event_type', detail }],
    })
  }
  const plan = await compileView(name, definition, type)
  await mustBeKept(unit, plan)
  return { plan, newest: await registry.newest(unit, name) }
}

/** Serving and training would differ where a window reaches back to what the objects have forgotten. */
async function mustBeKept(unit: Unit, { eventType, features }: ViewPlan): Promise<void> {
  const extentMs = Math.max(0, ...features.map(({ span }) => extentOf(span))) / 1_000
  const since = await events.keptSince(unit, eventType)
  if (unit.clock.now() - extentMs >= since) return
  const dated = (ms: number) => new Date(ms).toISOString().slice(0, 10)
  const detail = `The longest window reaches back to before ${dated(since)}, and events of ${eventType} from before it were kept online for less when they came: look back less, or declare this again after ${dated(since + extentMs)}.`
  throw wrongAt('/features', detail)
}

function shown(row: Row) {
  return {
    name: row.name,
    version: row.version,
    hash: row.hash,
    created_at: row.createdAt.toISOString(),
    definition: row.definition,
    features: row.plan.features.map(({ name, output }) => ({ name, type: nameOf(output) })),
  }
}
