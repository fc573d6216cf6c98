/**
 * The skew meter: some of the reads that were answered are kept for a week, computed again from the log as a
 * training set would, and compared to the bit. What differs is skew between serving and training.
 */
import { desc, eq, lt, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { textOf } from '#core/events/time.ts'
import type { FeatureValue, Status, ViewPlan } from '#schemas/feature.ts'
import type { KeyId, TenantId } from '#schemas/ids.ts'
import { featureReads } from '#schemas/tables/features.ts'
import { viewPlan } from '../view-registry.ts'

const KEPT_MS = 7 * 86_400_000
const SHOWN_MAX = 50

/** A read of one view for one entity, as it was answered; times in microseconds. */
export type Sample = {
  keyId: KeyId
  view: string
  version: number
  entity: string
  entityKey: string
  at: number
  values: FeatureValue[]
  statuses: Status[]
}

export async function record(unit: Unit, tenantId: TenantId, sample: Sample): Promise<void> {
  await unit.tx.insert(featureReads).values({ tenantId, ...sample })
}

/** What is older than a week is of no use to anybody. */
export async function trim({ tx, clock }: Unit): Promise<void> {
  await tx.delete(featureReads).where(lt(featureReads.at, (clock.now() - KEPT_MS) * 1_000))
}

/** After an erasure: reads of before name entities, and cannot be computed again. */
export async function forget({ tx }: Unit): Promise<void> {
  await tx.delete(featureReads)
}

export async function report(unit: Unit) {
  const { rows } = await unit.tx.execute<Record<string, string | number | null>>(sql`
    select view, version, count(*) as sampled, count(checked_at) as checked,
      count(*) filter (where state = 'differs') as mismatches, max(checked_at) as last
    from feature_reads group by view, version order by view, version`)
  const different = await unit.tx
    .select()
    .from(featureReads)
    .where(eq(featureReads.state, 'differs'))
    .orderBy(desc(featureReads.id))
    .limit(SHOWN_MAX)
  const plans = new Map<string, ViewPlan | null>()
  for (const { view, version } of different) {
    const name = `${view} ${version}`
    if (!plans.has(name)) plans.set(name, await viewPlan(unit, view, version))
  }
  return {
    views: rows.map(({ view, version, sampled, checked, mismatches, last }) => ({
      view,
      version: Number(version),
      sampled: Number(sampled),
      checked: Number(checked),
      mismatches: Number(mismatches),
      last_checked_at: last === null ? null : new Date(last as string).toISOString(),
    })),
    mismatches: different.flatMap(read => shown(read, plans.get(`${read.view} ${read.version}`)!)),
  }
}

type Read = typeof featureReads.$inferSelect

function shown(read: Read, plan: ViewPlan | null) {
  const { view, version, entity, entityKey, at, values, statuses } = read
  return (read.differences ?? []).map(({ feature, value, status }) => {
    const i = plan?.features.findIndex(({ name }) => name === feature) ?? -1
    return {
      view,
      version,
      entity,
      entity_key: entityKey,
      at: textOf(at),
      feature,
      served: { value: values[i] ?? null, status: statuses[i] ?? 'NOT_FOUND' },
      recomputed: { value, status },
    }
  })
}
