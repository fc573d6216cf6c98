/** Decisions as rows: the snapshot comes from the object, the outcome from the edge, in any order. */
import { and, desc, eq, sql } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { hash128 } from '#core/events/sha256.ts'
import { textOf } from '#core/events/time.ts'
import { cursorOf, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import type { Outcome, Snapshot } from '#schemas/decision.ts'
import type { TenantId } from '#schemas/ids.ts'
import { decisions } from '#schemas/tables/decisions.ts'
import { mustExist } from './endpoints.ts'
import { sourceOf } from './source.ts'

type Row = typeof decisions.$inferSelect
type Named = { endpoint: string; id: string; source?: string }

export type RecordedOutcome = {
  eventKey: string
  endpoint: { name: string; version: number }
  at: number
  outcome: Outcome
}

/** May be told twice: the first snapshot stays. */
export async function recordSnapshots(
  unit: Unit,
  tenantId: TenantId,
  decided: readonly Snapshot[],
): Promise<void> {
  const rows = decided.map(snapshot => ({
    event_key: snapshot.event.key,
    endpoint: snapshot.endpoint.name,
    endpoint_version: snapshot.endpoint.version,
    at: snapshot.reads[0]!.at,
    snapshot,
  }))
  await unit.tx.execute(sql`
    insert into decisions (tenant_id, event_key, endpoint, endpoint_version, at, snapshot)
    select ${tenantId}, event_key, endpoint, endpoint_version, at, snapshot
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as given
      (event_key uuid, endpoint text, endpoint_version int, at bigint, snapshot jsonb)
    order by event_key
    on conflict (tenant_id, endpoint, event_key) do update
      set snapshot = coalesce(decisions.snapshot, excluded.snapshot)`)
}

/** Decisions about events that are erased; how many there were. */
export async function forget({ tx }: Unit, eventKeys: readonly string[]): Promise<number> {
  const listed = sql.param(`{${eventKeys.join(',')}}`)
  const { rowCount } = await tx.execute(
    sql`delete from decisions where event_key = any(${listed}::uuid[])`,
  )
  return rowCount ?? 0
}

/** A decision that was made again has the same outcome: the first stays. */
export async function recordOutcomes(
  unit: Unit,
  tenantId: TenantId,
  outcomes: readonly RecordedOutcome[],
): Promise<void> {
  const rows = outcomes.map(({ eventKey, endpoint, at, outcome }) => ({
    event_key: eventKey,
    endpoint: endpoint.name,
    endpoint_version: endpoint.version,
    at,
    outcome,
    score: outcome.score,
  }))
  await unit.tx.execute(sql`
    insert into decisions (tenant_id, event_key, endpoint, endpoint_version, at, outcome, score)
    select distinct on (endpoint, event_key)
      ${tenantId}, event_key, endpoint, endpoint_version, at, outcome, score
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as given
      (event_key uuid, endpoint text, endpoint_version int, at bigint, outcome jsonb, score float8)
    order by endpoint, event_key
    on conflict (tenant_id, endpoint, event_key) do update set
      outcome = coalesce(decisions.outcome, excluded.outcome),
      score = coalesce(decisions.score, excluded.score)`)
}

/** Throws `not_found` when there is no such endpoint. */
export async function list(unit: Unit, query: PageQuery & { endpoint: string }) {
  await mustExist(unit, query.endpoint)
  const before = textPosition('decisions', query.cursor)
  const [at, key] = before?.split(' ') ?? []
  const rows = await unit.tx
    .select()
    .from(decisions)
    .where(
      and(
        eq(decisions.endpoint, query.endpoint),
        // Objects have clocks of their own, so two decisions may have been made at one time.
        before === null
          ? undefined
          : sql`(${decisions.at}, ${decisions.eventKey}) < (${Number(at)}, ${key}::uuid)`,
      ),
    )
    .orderBy(desc(decisions.at), desc(decisions.eventKey))
    .limit(query.limit + 1)
  return pageOf(rows, query, row => cursorOf('decisions', `${row.at} ${row.eventKey}`), shown)
}

export async function find(unit: Unit, { caller }: Call, input: Named) {
  return shown(await mustFind(unit, caller.tenantId, input))
}

/** Everything that is kept of a decision; null: nothing is. */
export async function stored(unit: Unit, tenantId: TenantId, input: Named): Promise<Row | null> {
  const key = hash128(tenantId, sourceOf(input), input.id)
  const [row] = await unit.tx
    .select()
    .from(decisions)
    .where(and(eq(decisions.endpoint, input.endpoint), sql`${decisions.eventKey} = ${key}::uuid`))
  return row ?? null
}

export async function feedback(
  unit: Unit,
  { caller }: Call,
  input: Named & { label: number | boolean | string; at?: string },
) {
  const row = await mustFind(unit, caller.tenantId, input)
  const label = { value: input.label, at: input.at ?? new Date(unit.clock.now()).toISOString() }
  await unit.tx
    .update(decisions)
    .set({ label })
    .where(and(eq(decisions.endpoint, row.endpoint), eq(decisions.eventKey, row.eventKey)))
  return shown({ ...row, label })
}

async function mustFind(unit: Unit, tenantId: TenantId, input: Named): Promise<Row> {
  const row = await stored(unit, tenantId, input)
  if (row) return row
  throw new AppError('not_found', {
    public: `"${input.endpoint}" has decided no event with source "${sourceOf(input)}" and id "${input.id}".`,
  })
}

function shown({ endpoint, endpointVersion, at, snapshot, outcome, label }: Row) {
  const event = snapshot && {
    source: snapshot.event.source,
    id: snapshot.event.id,
    time: textOf(snapshot.event.eventTime),
  }
  return {
    endpoint: { name: endpoint, version: endpointVersion },
    event,
    at: textOf(at),
    outcome: outcome && shownOutcome(outcome),
    label,
  }
}

export function shownOutcome({ answer, score, reasons, features, model }: Outcome) {
  return { decision: answer, score, reasons, features, model }
}
