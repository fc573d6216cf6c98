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
  const result = await unit.tx.execute<{ count: number }>(
    insertion(tenantId, head.rows[0]!.seq, [...rows.values()]),
  )
  const fresh = Number(result.rows[0]!.count)
  if (fresh > 0) {
    await unit.tx.execute(
      sql`update ledger_heads set seq = seq + ${fresh} where tenant_id = ${tenantId}`,
    )
  }
  return fresh
}

/** Numbers come in whatever order the rows do: sorting them would cost as much as storing them. */
function insertion(tenantId: TenantId, headSeq: string, rows: Row[]) {
  const column = (name: keyof Row) => sql.param(rows.map(row => row[name]))
  return sql`
    with given as (
      select * from unnest(
        ${column('id')}::text[], ${column('context')}::bigint[], ${column('work')}::text[],
        ${column('at')}::float8[], ${column('requests')}::bigint[], ${column('rows')}::bigint[],
        ${column('computeUs')}::bigint[], ${column('bytesIn')}::bigint[], ${column('bytesOut')}::bigint[]
      ) as given(id, context, work, at, requests, rows, compute_us, bytes_in, bytes_out)
      where not exists (
        select from receipts where tenant_id = ${tenantId} and receipts.id = given.id
      )
    ), inserted as (
      insert into receipts (tenant_id, seq, id, context, work, at, requests, rows, compute_us, bytes_in, bytes_out)
      select ${tenantId}, ${headSeq}::bigint + row_number() over (), id, context, work,
        to_timestamp(at / 1000), requests, rows, compute_us, bytes_in, bytes_out
      from given
      returning 1
    )
    select count(*)::int as count from inserted`
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
