/**
 * What is read under names of another kind: a list of `view:feature` without a service, and entities by the
 * fields that hold their keys (Feast's join keys).
 */
import { and, eq, or } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import type { ServicePlan, ViewPlan } from '#schemas/feature.ts'
import { featureViews } from '#schemas/tables/features.ts'
import { compileService } from './compile.ts'
import { servicePlan } from './service-registry.ts'
import { newestPlans } from './view-registry.ts'

const REFS_MAX = 1_000
const REF = /^([a-z][a-z0-9_]{0,62})(?:@(latest|v[1-9][0-9]{0,8}))?:([a-z][a-z0-9_]{0,62})$/

export type Asked = { service: string } | { features: string[] }
export type JoinPlan = {
  plan: ServicePlan
  /** Entity → the fields that hold its key, by each of the event types that tell about it. */
  joinKeys: Record<string, string[][]>
  /** View → its version, of those that were asked for at one. */
  pinned: Record<string, number>
}

/** Throws `not_found` with a pointer to the name, `invalid_definition`. */
export async function joinPlan(unit: Unit, asked: Asked): Promise<JoinPlan> {
  const { plan, pinned } =
    'service' in asked
      ? { plan: await planOf(unit, asked.service), pinned: {} }
      : await planOfRefs(unit, asked.features)
  const joinKeys: Record<string, string[][]> = {}
  for (const { entity, eventType } of plan.views) {
    const type = await events.newestType(unit, eventType)
    const fields = type?.entities[entity]
    if (fields === undefined) continue
    joinKeys[entity] ??= []
    joinKeys[entity].push(typeof fields === 'string' ? [fields] : fields)
  }
  return { plan, joinKeys, pinned }
}

async function planOf(unit: Unit, service: string): Promise<ServicePlan> {
  const plan = await servicePlan(unit, service)
  if (plan) return plan
  throw missing('/feature_service', `There is no feature service "${service.slice(0, 100)}".`)
}

async function planOfRefs(unit: Unit, refs: string[]) {
  if (refs.length > REFS_MAX) {
    const detail = `At most ${REFS_MAX} features are read at once; these are ${refs.length}.`
    throw wrongAt('/features', detail)
  }
  const parsed = refs.map((ref, i) => {
    const [, view, tag, feature] = REF.exec(ref) ?? []
    if (view && feature) return { view, feature, version: versionOf(tag) }
    const detail = `"${ref.slice(0, 200)}" names no feature: write view:feature, or view@v2:feature.`
    throw wrongAt(`/features/${i}`, detail)
  })
  const pinned: Record<string, number> = {}
  for (const [i, { view, version }] of parsed.entries()) {
    const first = parsed.find(each => each.view === view)!
    if (first.version !== version) {
      throw wrongAt(`/features/${i}`, `One request reads "${view}" at one version.`)
    }
    if (version !== null) pinned[view] = version
  }
  const plans = await plansOf(unit, [...new Set(parsed.map(({ view }) => view))], pinned)
  for (const [i, { view, version }] of parsed.entries()) {
    if (plans.has(view)) continue
    const at = version === null ? '' : ` at version ${version}`
    throw missing(`/features/${i}`, `There is no feature view "${view}"${at}.`)
  }
  const features = parsed.map(({ view, feature }) => `${view}:${feature}`)
  return { plan: await compileService('', { features }, plans), pinned }
}

async function plansOf(unit: Unit, names: string[], pinned: Record<string, number>) {
  const plans = await newestPlans(
    unit,
    names.filter(name => !Object.hasOwn(pinned, name)),
  )
  const older = Object.entries(pinned).map(([name, version]) =>
    and(eq(featureViews.name, name), eq(featureViews.version, version)),
  )
  if (older.length === 0) return plans
  const rows = await unit.tx
    .select()
    .from(featureViews)
    .where(or(...older))
  return new Map<string, ViewPlan>([...plans, ...rows.map(row => [row.name, row.plan] as const)])
}

function versionOf(tag: string | undefined): number | null {
  return tag === undefined || tag === 'latest' ? null : Number(tag.slice(1))
}

function missing(pointer: string, detail: string): AppError {
  return new AppError('not_found', { public: detail, errors: [{ pointer, detail }] })
}

function wrongAt(pointer: string, detail: string): AppError {
  return new AppError('invalid_definition', { public: detail, errors: [{ pointer, detail }] })
}
