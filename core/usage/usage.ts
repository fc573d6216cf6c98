/** Usage: what a tenant consumed, read from the ledger. The front of this folder. */
import { and, asc, eq, gt, type SQL, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { cursorOf, numberPosition, type Page, type PageQuery, pageOf } from '#core/page.ts'
import { receiptContexts as contexts, receipts } from '#schemas/tables/usage.ts'

export { type KnownContexts, record } from './ledger.ts'
export * from './receipt.ts'
export { entriesOf, type Line } from './receipt-log.ts'
export { bill } from './step.ts'

export type Group = 'kind' | 'model' | 'key' | 'project' | 'job' | 'day' | 'hour'
export type Quantities = {
  receipts: number
  requests: number
  rows: number
  compute_us: number
  bytes_in: number
  bytes_out: number
  tokens: number
}

/** More than anybody reads, and few enough to hold. */
export const GROUPS_MAX = 10_000

const ZERO = sql.raw(`timestamptz '2000-01-01 00:00:00+00'`)
/** What receipts themselves tell apart; all else is in the context that they share. */
const PARTS: Partial<Record<Group, SQL>> = {
  // Work of a job is `run_…/shard`; a request belongs to no job.
  job: sql`case when starts_with(work, 'run_') then split_part(work, '/', 1) end`,
  day: sql`date_bin('1 day', at, ${ZERO})`,
  hour: sql`date_bin('1 hour', at, ${ZERO})`,
}
const COLUMNS: Record<Group, SQL> = {
  kind: sql`kind`,
  model: sql`model`,
  key: sql`key_id`,
  project: sql`project`,
  job: sql`by_job`,
  day: sql`to_char(by_day at time zone 'UTC', 'YYYY-MM-DD')`,
  hour: sql`to_char(by_hour at time zone 'UTC', 'YYYY-MM-DD"T"HH24":00:00Z"')`,
}

const ofContext = and(eq(contexts.id, receipts.context), eq(contexts.tenantId, receipts.tenantId))

type Period = { from?: string; to?: string }

/**
 * Totals of the half-open period [from, to), one row per combination of the groups. Throws
 * `invalid_request` where these are more than `GROUPS_MAX`.
 */
export async function totals(unit: Unit, query: Period & { group_by?: Group[] }) {
  const groups = query.group_by ?? []
  const { rows } = await unit.tx.execute<Record<string, string | null>>(totalsOf(groups, query))
  if (rows.length > GROUPS_MAX) {
    throw new AppError('invalid_request', {
      public: `These are more than ${GROUPS_MAX} groups; ask for a shorter period or fewer groups.`,
    })
  }
  const data = rows.map(row => ({
    group: Object.fromEntries(groups.map(group => [group, row[group] ?? null])),
    ...quantitiesOf(row),
  }))
  return {
    from: query.from ?? null,
    to: query.to ?? null,
    total: data.reduce(add, quantitiesOf({})),
    data,
  }
}

/** Receipts are added up by context first: to join and to format each of them takes twice as long. */
function totalsOf(groups: Group[], { from, to }: Period): SQL {
  const comma = sql`, `
  const parts = groups.filter(group => group in PARTS)
  const partColumns = parts.map(group => sql`, ${PARTS[group]} as ${sql.identifier(`by_${group}`)}`)
  const groupColumns = groups.map(group => sql`${COLUMNS[group]} as ${sql.identifier(group)}, `)
  const ordinals = groups.map((_, index) => sql.raw(String(index + 1)))
  const grouped = sql` group by ${sql.join(ordinals, comma)} order by ${sql.join(ordinals, comma)}`
  return sql`
    with parts as (
      select context ${sql.join(partColumns)}, count(*) as receipts, sum(requests) as requests,
        sum(rows) as rows, sum(compute_us) as compute_us, sum(bytes_in) as bytes_in,
        sum(bytes_out) as bytes_out, sum(tokens) as tokens
      from receipts
      where true ${from ? sql`and at >= ${from}::timestamptz` : sql``}
        ${to ? sql`and at < ${to}::timestamptz` : sql``}
      group by ${sql.join(
        ['context', ...parts].map((_, index) => sql.raw(String(index + 1))),
        comma,
      )}
    )
    select ${sql.join(groupColumns)} sum(receipts) as receipts, sum(requests) as requests,
      sum(rows) as rows, sum(compute_us) as compute_us, sum(bytes_in) as bytes_in,
      sum(bytes_out) as bytes_out, sum(tokens) as tokens
    from parts join receipt_contexts on receipt_contexts.id = parts.context
    ${groups.length > 0 ? grouped : sql``}
    limit ${GROUPS_MAX + 1}`
}

/** Receipts in ledger order. Numbers commit in order, so a reader that follows the cursor misses none. */
export async function list(unit: Unit, query: PageQuery): Promise<Page<ReturnType<typeof shown>>> {
  const after = numberPosition('receipts', query.cursor) ?? 0
  const rows = await unit.tx
    .select({ receipt: receipts, context: contexts })
    .from(receipts)
    .innerJoin(contexts, ofContext)
    .where(gt(receipts.seq, after))
    .orderBy(asc(receipts.seq))
    .limit(query.limit + 1)
  return pageOf(rows, query, row => cursorOf('receipts', row.receipt.seq), shown)
}

function quantitiesOf(row: Record<string, string | null | undefined>): Quantities {
  return {
    receipts: Number(row.receipts ?? 0),
    requests: Number(row.requests ?? 0),
    rows: Number(row.rows ?? 0),
    compute_us: Number(row.compute_us ?? 0),
    bytes_in: Number(row.bytes_in ?? 0),
    bytes_out: Number(row.bytes_out ?? 0),
    tokens: Number(row.tokens ?? 0),
  }
}

function add(sum: Quantities, row: Quantities): Quantities {
  const keys = Object.keys(sum) as (keyof Quantities)[]
  return Object.fromEntries(keys.map(key => [key, sum[key] + row[key]])) as Quantities
}

function shown({
  receipt,
  context,
}: {
  receipt: typeof receipts.$inferSelect
  context: typeof contexts.$inferSelect
}) {
  return {
    seq: receipt.seq,
    id: receipt.id,
    at: receipt.at.toISOString(),
    kind: context.kind,
    work: receipt.work,
    model: context.model,
    version: context.version,
    digest: context.digest,
    key: context.keyId,
    project: context.project,
    tags: context.tags,
    price_book: context.priceBook,
    requests: receipt.requests,
    rows: receipt.rows,
    compute_us: receipt.computeUs,
    bytes_in: receipt.bytesIn,
    bytes_out: receipt.bytesOut,
    tokens: receipt.tokens,
  }
}
