/** Views: each version is immutable and known by the hash of all that changes a value. */
import { and, asc, desc, eq, gt, inArray, sql } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import { cursorOf, type PageQuery, pageOf, textPosition } from '#core/page.ts'
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

/** What the definition would become. Throws `invalid_definition`. */
export async function planView(unit: Unit, input: Input) {
  const { plan, newest } = await compiled(unit, input)
  const change = !newest ? 'new' : newest.hash === plan.hash ? 'same' : 'next'
  const version = change === 'same' ? newest!.version : (newest?.version ?? 0) + 1
  return { name: input.view, change, version, hash: plan.hash, warnings: leaksOf(plan) }
}

/** The view as it is now: unchanged, or its next version. Services keep the version that they pinned. */
export async function applyView(unit: Unit, call: Call, input: Input) {
  const { tenantId } = call.caller
  const { view: name, ...definition } = input
  // Two at once would both make the same next version.
  await unit.tx.execute(sql`select pg_advisory_xact_lock(hashtext(${`${tenantId} view ${name}`}))`)
  const { plan, newest } = await compiled(unit, input)
  const warnings = leaksOf(plan)
  if (newest?.hash === plan.hash) return { ...shown(newest), warnings }
  const version = (newest?.version ?? 0) + 1
  const createdAt = new Date(unit.clock.now())
  const { hash } = plan
  const row: Row = {
    tenantId,
    name,
    version,
    hash,
    definition,
    plan: { ...plan, version },
    active: true,
    createdAt,
  }
  await unit.tx.insert(featureViews).values(row)
  await audit.record(unit, call, { action: 'views.apply', target: name, detail: { version, hash } })
  return { ...shown(row), warnings }
}

export async function views(unit: Unit, query: PageQuery) {
  const after = textPosition('views', query.cursor)
  const rows = await unit.tx
    .selectDistinctOn([featureViews.name])
    .from(featureViews)
    .where(after ? gt(featureViews.name, after) : undefined)
    .orderBy(asc(featureViews.name), desc(featureViews.version))
    .limit(query.limit + 1)
  return pageOf(rows, query, row => cursorOf('views', row.name), shown)
}

export async function view(unit: Unit, { view: name }: { view: string }) {
  const row = await newestOf(unit, name)
  if (row) return shown(row)
  throw new AppError('not_found', { public: `There is no feature view "${name}".` })
}

/** The plan of a version, or of the newest; null: there is none. */
export async function viewPlan(
  unit: Unit,
  name: string,
  version?: number,
): Promise<ViewPlan | null> {
  if (version === undefined) return (await newestOf(unit, name))?.plan ?? null
  const [row] = await unit.tx
    .select()
    .from(featureViews)
    .where(and(eq(featureViews.name, name), eq(featureViews.version, version)))
  return row?.plan ?? null
}

/** The newest plans of views, by name; those that there are not are left out. */
export async function newestPlans(unit: Unit, names: string[]): Promise<Map<string, ViewPlan>> {
  if (names.length === 0) return new Map()
  const rows = await unit.tx
    .selectDistinctOn([featureViews.name])
    .from(featureViews)
    .where(and(inArray(featureViews.name, names)))
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
  return { plan, newest: await newestOf(unit, name) }
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

async function newestOf(unit: Unit, name: string): Promise<Row | null> {
  const [row] = await unit.tx
    .select()
    .from(featureViews)
    .where(eq(featureViews.name, name))
    .orderBy(desc(featureViews.version))
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
    features: row.plan.features.map(({ name, output }) => ({ name, type: nameOf(output) })),
  }
}
