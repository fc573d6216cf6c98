/** Work as it stands in rows: what waits, who works, and what came within the last hour. */
import { type SQL, sql } from 'drizzle-orm'
import type { Tx } from '#core/deps.ts'
import { USUAL_CLASS } from '#schemas/cloud/pools.ts'
import type { ClassNow, HeldLease, WaitingRun } from './snapshot.ts'

/** Of a step that nobody has measured: a plan, a merge, a training set. */
const UNKNOWN_S = 5
const VALIDATION_S = 5
/** Reading a small row and writing its result, microseconds. */
const CODING_US = 6
const BUCKET_S = 10
const BUCKETS = 360

type Work = Pick<ClassNow, 'waiting' | 'leases' | 'residualStepS' | 'arrivals'> & {
  /** Of tenants with open work, those who may call for fewer runners than there may be. */
  tenants: ClassNow['bounds']['tenants']
}

export async function readWork(
  tx: Tx,
  { classes, now }: { classes: readonly string[]; now: number },
): Promise<Work> {
  const at = sql`${new Date(now).toISOString()}::timestamptz`
  const among = sql`any(${sql.param([...classes])}::text[])`
  const isOfClass = sql`coalesce(r.spec->>'hardware', ${USUAL_CLASS}) = ${among}`
  const waiting = await rowsOf<WaitingRun>(
    tx,
    sql`select s.tenant_id as "tenantId", count(*)::int as steps, sum(${stepS})::float8 as "workS",
        max(${stepS})::float8 as "longestS", 1 as weight,
        extract(epoch from max(r.expires_at) - ${at})::float8 as "dueInS"
      from steps s join runs r on r.tenant_id = s.tenant_id and r.id = s.run_id ${measured}
      where ${isOfClass} and (s.state = 'queued' or (s.state = 'leased' and s.lease_until < ${at}))
      group by s.tenant_id, s.run_id, r.created_at order by r.created_at, s.run_id`,
  )
  const leases = await rowsOf<HeldLease>(
    tx,
    // How long it has been under way is not written down: half of it, on average.
    sql`select s.runner, s.tenant_id as "tenantId", (${stepS} / 2)::float8 as "remainingS"
      from steps s join runs r on r.tenant_id = s.tenant_id and r.id = s.run_id ${measured}
      where ${isOfClass} and s.state = 'leased' and s.lease_until >= ${at}`,
  )
  const validations = await rowsOf<{ tenantId: string; steps: number }>(
    tx,
    sql`select tenant_id as "tenantId", count(*)::int as steps from model_versions
      where state = 'validating' and coalesce(manifest->>'hardware', ${USUAL_CLASS}) = ${among}
      group by tenant_id order by tenant_id`,
  )
  const arrived = await rowsOf<{ bucket: number; runs: number; workS: number; steps: number }>(
    tx,
    sql`select floor(extract(epoch from ${at} - r.created_at) / ${BUCKET_S})::int as bucket,
        count(*)::int as runs, sum(${runS})::float8 as "workS",
        sum(greatest(1, r.steps_total))::int as steps
      from runs r ${measured}
      where ${isOfClass} and r.created_at <= ${at}
        and r.created_at > ${at} - ${`${BUCKET_S * BUCKETS} s`}::interval
      group by 1`,
  )
  const open = [...new Set([...validations, ...waiting, ...leases].map(of => of.tenantId))]
  return {
    waiting: [...validations.map(validation), ...waiting],
    leases,
    tenants: open.length > 0 ? await limitsOf(tx, open) : {},
    residualStepS: residualOf(arrived),
    arrivals: arrivalsOf(arrived),
  }
}

async function limitsOf(tx: Tx, tenantIds: string[]): Promise<Work['tenants']> {
  const listed = sql.param(tenantIds)
  const limited = await rowsOf<{ id: string; runners: number }>(
    tx,
    sql`select id, runners_max as runners from tenants
      where id = any(${listed}::text[]) and runners_max is not null`,
  )
  return Object.fromEntries(limited.map(({ id, runners }) => [id, runners]))
}

/** By the fitted time of a row of this version. */
const measured = sql`left join lateral (
    select (v.report->'tuning'->>'rowUs')::float8 as row_us from model_versions v
    where v.tenant_id = r.tenant_id and v.model = r.spec->>'model'
      and v.number = (r.spec->>'version')::int
  ) v on true`
const stepS: SQL = sql`case when s.kind = 'shard' and v.row_us is not null and s.input ? 'rows'
  then (s.input->>'rows')::float8 * (v.row_us + ${CODING_US}::float8) / 1e6
  else ${UNKNOWN_S}::float8 end`
const runS: SQL = sql`case when v.row_us is not null and r.rows_total is not null
  then r.rows_total * (v.row_us + ${CODING_US}::float8) / 1e6
  else ${UNKNOWN_S}::float8 end`

/** A version is published when a runner has looked at it. */
function validation({ tenantId, steps }: { tenantId: string; steps: number }): WaitingRun {
  const workS = steps * VALIDATION_S
  return { tenantId, workS, steps, longestS: VALIDATION_S, weight: 1, dueInS: null }
}

/** Half of a step as large as the mean: one that is met under way has so much left. */
function residualOf(arrived: readonly { workS: number; steps: number }[]): number {
  const workS = arrived.reduce((sum, { workS }) => sum + workS, 0)
  const steps = arrived.reduce((sum, { steps }) => sum + steps, 0)
  return steps > 0 ? workS / steps / 2 : UNKNOWN_S / 2
}

function arrivalsOf(arrived: readonly { bucket: number; runs: number; workS: number }[]) {
  const runs = new Array<number>(BUCKETS).fill(0)
  const workS = new Array<number>(BUCKETS).fill(0)
  for (const of of arrived) {
    if (of.bucket < 0 || of.bucket >= BUCKETS) continue
    runs[of.bucket] = of.runs
    workS[of.bucket] = of.workS
  }
  return { bucketS: BUCKET_S, runs, workS }
}

async function rowsOf<T>(tx: Tx, query: SQL): Promise<T[]> {
  return (await tx.execute(query)).rows as T[]
}
