/** Appending to the ledger: each receipt once, numbered per tenant without a gap. */
import { sql } from 'drizzle-orm'
import type { Database, Tx, Unit } from '#core/deps.ts'
import { sha256Hex } from '#core/internal/signing.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { Receipt, ReceiptContext } from './receipt.ts'

type Row = Receipt & { context: number }
export type Entry = { context: ReceiptContext; receipts: Receipt[] }

/** Context ids that are known to be committed, by tenant and fingerprint. */
export type KnownContexts = Map<string, number>
const KNOWN_CONTEXTS_MAX = 100_000

/** SQLSTATE, PostgreSQL manual, appendix A. */
const UNIQUE_VIOLATION = '23505'

/**
 * Records receipts of any number of tenants, one transaction a tenant. Recording twice is recording
 * once. Returns how many were new.
 */
export async function record(
  deps: { db: Database; contexts: KnownContexts },
  entries: Entry[],
): Promise<number> {
  let fresh = 0
  for (const [tenantId, ofTenant] of Map.groupBy(entries, entry => entry.context.tenantId)) {
    fresh += await deps.db.tenant(tenantId, tx => append({ tx }, ofTenant, deps.contexts))
  }
  return fresh
}

/** Appends in the caller's transaction, which must be bound to the entries' tenant. */
export async function append(
  unit: Pick<Unit, 'tx'>,
  entries: Entry[],
  known?: KnownContexts,
): Promise<number> {
  const tenantId = entries[0]?.context.tenantId
  if (!tenantId) return 0
  // Taking the head's lock is a statement of its own: the next ones must see what the holder before us
  // committed, and a statement's snapshot is taken before it waits. Under it nobody else appends.
  const head = await unit.tx.execute<{ seq: string }>(sql`
    insert into ledger_heads as head (tenant_id) values (${tenantId})
    on conflict (tenant_id) do update set seq = head.seq returning seq`)
  const rows = new Map<string, Row>()
  // Each context is looked up once: a second look would find what we have inserted ourselves and take
  // it for committed.
  const byContext = Map.groupBy(entries, entry => textOf(entry.context))
  for (const [text, same] of byContext) {
    const context = await contextId(unit.tx, same[0]!.context, text, known)
    for (const { receipts } of same)
      for (const receipt of receipts) {
        if (!rows.has(receipt.id)) rows.set(receipt.id, { ...receipt, context })
      }
  }
  const fresh = await insertFresh(unit.tx, tenantId, head.rows[0]!.seq, [...rows.values()])
  if (fresh > 0) {
    await unit.tx.execute(
      sql`update ledger_heads set seq = seq + ${fresh} where tenant_id = ${tenantId}`,
    )
  }
  return fresh
}

/**
 * Nearly always all rows are new, so they are inserted as if they were; only when the ledger has one of
 * them already are those looked up and left out. Looking first would join each batch to the whole ledger.
 */
async function insertFresh(tx: Tx, tenantId: TenantId, headSeq: string, rows: Row[]) {
  try {
    await tx.transaction(savepoint => savepoint.execute(insertion(tenantId, headSeq, rows)))
    return rows.length
  } catch (error) {
    if (!isUniqueViolation(error)) throw error
  }
  const ids = sql.param(rows.map(row => row.id))
  const recorded = await tx.execute<{ id: string }>(sql`
    select id from receipts where tenant_id = ${tenantId} and id = any(${ids}::text[])`)
  const known = new Set(recorded.rows.map(row => row.id))
  const fresh = rows.filter(row => !known.has(row.id))
  if (fresh.length > 0) await tx.execute(insertion(tenantId, headSeq, fresh))
  return fresh.length
}

function isUniqueViolation(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as { code?: unknown } | undefined) : undefined
  return cause?.code === UNIQUE_VIOLATION
}

/** Numbers come in whatever order the rows do: sorting them would cost as much as storing them. */
function insertion(tenantId: TenantId, headSeq: string, rows: Row[]) {
  const texts = (name: 'id' | 'work') => sql.param(rows.map(row => row[name]))
  // The array's literal by ourselves: the driver would look for what to escape in each number.
  const numbers = (name: Exclude<keyof Row, 'id' | 'work'>) =>
    sql.param(`{${rows.map(row => row[name] ?? 0).join()}}`)
  return sql`
    insert into receipts (tenant_id, seq, id, context, work, at, requests, rows, compute_us, bytes_in,
      bytes_out, tokens)
    select ${tenantId}, ${headSeq}::bigint + nth, id, context, work, to_timestamp(at / 1000),
      requests, rows, compute_us, bytes_in, bytes_out, tokens
    from unnest(
      ${texts('id')}::text[], ${numbers('context')}::bigint[], ${texts('work')}::text[],
      ${numbers('at')}::float8[], ${numbers('requests')}::bigint[], ${numbers('rows')}::bigint[],
      ${numbers('computeUs')}::bigint[], ${numbers('bytesIn')}::bigint[], ${numbers('bytesOut')}::bigint[],
      ${numbers('tokens')}::bigint[]
    ) with ordinality
      as given(id, context, work, at, requests, rows, compute_us, bytes_in, bytes_out, tokens, nth)`
}

function textOf({ tenantId: _, ...rest }: ReceiptContext): string {
  return JSON.stringify(rest)
}

async function contextId(
  tx: Tx,
  context: ReceiptContext,
  text: string,
  known?: KnownContexts,
): Promise<number> {
  const { tenantId } = context
  const cached = known?.get(`${tenantId}\n${text}`)
  if (cached !== undefined) return cached
  const fingerprint = await sha256Hex(text)
  const find = sql`
    select id from receipt_contexts where tenant_id = ${tenantId} and fingerprint = ${fingerprint}`
  const found = await tx.execute<{ id: string }>(find)
  if (found.rows[0]) {
    // Only a context that was there before is remembered: one that we insert may yet be rolled back.
    if (known && known.size < KNOWN_CONTEXTS_MAX) {
      known.set(`${tenantId}\n${text}`, Number(found.rows[0].id))
    }
    return Number(found.rows[0].id)
  }
  const inserted = await tx.execute<{ id: string }>(sql`
    insert into receipt_contexts
      (tenant_id, fingerprint, key_id, project, tags, model, version, digest, kind, price_book)
    values (${tenantId}, ${fingerprint}, ${context.keyId}, ${context.project},
      ${JSON.stringify(context.tags)}::jsonb, ${context.model}, ${context.version}, ${context.digest},
      ${context.kind}, ${context.priceBook})
    returning id`)
  return Number(inserted.rows[0]!.id)
}
