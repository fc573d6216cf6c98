/** Checks of sampled reads, as runs of one step. They are the platform's own work: nobody is billed for them. */
import { asc, eq, sql } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Clock, Database, Log, Unit } from '#core/deps.ts'
import { AppError, inFull } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import * as jobs from '#core/jobs/jobs.ts'
import type { FeatureValue, Status, ViewPlan } from '#schemas/feature.ts'
import type { StepId } from '#schemas/ids.ts'
import { featureReads, type Recomputed } from '#schemas/tables/features.ts'
import type { SkewSpec } from '#schemas/tables/jobs.ts'
import { viewPlan } from '../view-registry.ts'
import { trim } from './samples.ts'

/** Of one check; what is left is for the next. */
const READS_MAX = 2_000
/** An object may have told a decision's event to a reader before it told the log: no longer than this. */
const SETTLED_MS = 10 * 60_000
const EXPIRES_S = 3_600

type Read = typeof featureReads.$inferSelect

export type Assignment = jobs.Assigned<'check'> & {
  spec: SkewSpec
  views: { plan: ViewPlan; reads: Pick<Read, 'id' | 'entityKey' | 'at'>[] }[]
}

/** By the number of the read, its view's features as the log gives them. */
export type Outcome = {
  kind: 'check'
  answers: [id: number, { value: FeatureValue; status: Status }[]][]
}

export async function create(
  unit: Unit,
  call: Call,
  input: { expires_in_s: number },
): Promise<jobs.ShownJob> {
  return jobs.start(unit, call, { ...(await planOf(unit)), expiresInS: input.expires_in_s })
}

/** A check for each tenant of which reads are waiting. One tenant's trouble is not another's. */
export async function startDue(deps: { db: Database; clock: Clock; log: Log }): Promise<void> {
  for await (const tenantId of events.eachTenant(deps.db)) {
    try {
      await deps.db.tenant(tenantId, async tx => {
        const unit = { tx, clock: deps.clock }
        await trim(unit)
        const [waiting] = await unchecked(unit, 1)
        if (!waiting) return
        const who = { tenantId, keyId: waiting.keyId, project: null, tags: {} }
        await jobs.begin(unit, who, { ...(await planOf(unit)), expiresInS: EXPIRES_S })
      })
    } catch (error) {
      deps.log.error('features.skew_not_checked', { tenant: tenantId, error: inFull(error) })
    }
  }
}

export async function assignment(unit: Unit, leased: jobs.leases.Leased): Promise<Assignment> {
  const { run } = leased
  const spec = run.spec as SkewSpec
  const reads = (await unchecked(unit, READS_MAX)).filter(({ at }) => at <= spec.asOf)
  const views: Assignment['views'] = []
  for (const some of Map.groupBy(reads, ({ view, version }) => `${view} ${version}`).values()) {
    const { view, version } = some[0]!
    const plan = await viewPlan(unit, view, version)
    if (!plan) throw new AppError('internal', { internal: `no plan of ${view} ${version}` })
    const asked = some.map(({ id, entityKey, at }) => ({ id, entityKey, at }))
    views.push({ plan, reads: asked })
  }
  return {
    ...jobs.assigned<'check'>(leased),
    spec,
    views,
  }
}

/** Ends the run and writes to each read what became of it, in one transaction. */
export async function finish(
  unit: Unit,
  input: { stepId: StepId; epoch: number; outcome: Outcome },
): Promise<void> {
  const { outcome, ...lease } = input
  const found = { checked: 0, mismatches: 0, pending: 0 }
  const answers = new Map(outcome.answers)
  const reads = (await unchecked(unit, READS_MAX)).filter(({ id }) => answers.has(id))
  const plans = new Map<string, ViewPlan | null>()
  const settledBefore = (unit.clock.now() - SETTLED_MS) * 1_000
  const judged: Pick<Read, 'id' | 'state' | 'differences'>[] = []
  for (const read of reads) {
    const name = `${read.view} ${read.version}`
    if (!plans.has(name)) plans.set(name, await viewPlan(unit, read.view, read.version))
    const differences = differencesOf(read, plans.get(name)!, answers.get(read.id)!)
    const isOpen = differences.length > 0 && read.at > settledBefore
    if (isOpen) {
      found.pending++
      continue
    }
    found.checked++
    if (differences.length > 0) found.mismatches++
    const state = differences.length > 0 ? 'differs' : 'same'
    judged.push({ id: read.id, state, differences: differences.length > 0 ? differences : null })
  }
  const done = await jobs.leases.complete(unit, {
    ...lease,
    output: {},
    rowsTotal: reads.length,
    rowsDone: reads.length,
    rowsFailed: found.mismatches,
    result: { lineage: found },
  })
  if (done.status === 'repeated') return
  const checkedAt = new Date(unit.clock.now())
  for (const { id, ...judgement } of judged) {
    await unit.tx
      .update(featureReads)
      .set({ ...judgement, checkedAt })
      .where(eq(featureReads.id, id))
  }
}

function differencesOf(
  { values, statuses }: Read,
  plan: ViewPlan | null,
  answers: readonly { value: FeatureValue; status: Status }[],
): Recomputed[] {
  return (plan?.features ?? []).flatMap(({ name }, i) => {
    const { value, status } = answers[i]!
    const isSame = JSON.stringify(value) === JSON.stringify(values[i]) && status === statuses[i]
    return isSame ? [] : [{ feature: name, value, status }]
  })
}

async function planOf(unit: Unit) {
  const asOf = unit.clock.now() * 1_000
  const logPosition = await events.newestNumber(unit)
  const spec: SkewSpec = { reads: 'sampled', asOf, logPosition }
  return { kind: 'skew' as const, first: 'check' as const, spec }
}

/** The oldest first. */
function unchecked({ tx }: Unit, max: number): Promise<Read[]> {
  return tx
    .select()
    .from(featureReads)
    .where(sql`${featureReads.state} = 'new'`)
    .orderBy(asc(featureReads.id))
    .limit(max)
}
