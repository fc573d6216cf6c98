/** Usage: what a tenant consumed, read from the ledger. The front of this folder. */
import { and, asc, eq, gt, gte, lt, type SQL, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { cursorOf, numberPosition, type Page, type PageQuery, pageOf } from '#core/page.ts'
import { receiptContexts as contexts, receipts } from '#schemas/tables/usage.ts'

export { append, type KnownContexts, record } from './ledger.ts'
export * from './receipt.ts'
export { entriesOf, type Line } from './receipt-log.ts'

export type Group = 'model' | 'key' | 'project' | 'job' | 'day' | 'hour'
export type Quantities = {
  receipts: number
  requests: number
  rows: number
  compute_us: number
  bytes_in: number
  bytes_out: number
}

const GROUP_COLUMNS: Record<Group, SQL> = {
  model: sql`${contexts.model}`,
  key: sql`${contexts.keyId}`,
  project: sql`${contexts.project}`,
  // Work of a job is `run_…/shard`; a request belongs to no job.
  job: sql`case when ${contexts.kind} = 'bulk' then split_part(${receipts.work}, '/', 1) end`,
  day: sql`to_char(${receipts.at} at time zone 'UTC', 'YYYY-MM-DD')`,
  hour: sql`to_char(${receipts.at} at time zone 'UTC', 'YYYY-MM-DD"T"HH24":00:00Z"')`,
}

const SUMS = {
  receipts: sql<string>`count(*)`.as('n'),
  requests: sql<string>`coalesce(sum(${receipts.requests}), 0)`.as('requests'),
  rows: sql<string>`coalesce(sum(${receipts.rows}), 0)`.as('rows'),
  compute_us: sql<string>`coalesce(sum(${receipts.computeUs}), 0)`.as('compute_us'),
  bytes_in: sql<string>`coalesce(sum(${receipts.bytesIn}), 0)`.as('bytes_in'),
  bytes_out: sql<string>`coalesce(sum(${receipts.bytesOut}), 0)`.as('bytes_out'),
}

const ofContext = and(eq(contexts.id, receipts.context), eq(contexts.tenantId, receipts.tenantId))

/** Totals of the half-open period [from, to), one row per combination of the groups. */
export async function totals(
  unit: Unit,
  query: { from?: string; to?: string; group_by?: Group[] },
) {
  const groups = query.group_by ?? []
  const fields = Object.fromEntries(
    groups.map(group => [`by_${group}`, GROUP_COLUMNS[group].as(`by_${group}`)]),
  )
  const period = and(
    query.from ? gte(receipts.at, new Date(query.from)) : undefined,
    query.to ? lt(receipts.at, new Date(query.to)) : undefined,
  )
  const ordinals = groups.map((_, index) => sql.raw(String(index + 1)))
  const select = unit.tx
    .select({ ...fields, ...SUMS })
    .from(receipts)
    .innerJoin(contexts, ofContext)
    .where(period)
  const rows = (await (groups.length > 0
    ? select.groupBy(...ordinals).orderBy(...ordinals)
    : select)) as Record<string, string | null>[]
  const data = rows.map(row => ({
    group: Object.fromEntries(groups.map(group => [group, row[`by_${group}`] ?? null])),
    ...quantitiesOf(row),
  }))
  return {
    from: query.from ?? null,
    to: query.to ?? null,
    total: data.reduce(add, quantitiesOf({})),
    data,
  }
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
  }
}
