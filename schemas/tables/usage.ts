/** The ledger: one row per receipt, append-only, numbered without a gap per tenant. */
import {
  bigint,
  bigserial,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
} from 'drizzle-orm/pg-core'
import type { TenantId } from '#schemas/ids.ts'

const tenant = () => text('tenant_id').$type<TenantId>().notNull()
const count = (name: string) => bigint(name, { mode: 'number' }).notNull().default(0)

/** The newest number of each tenant's ledger; its row is locked while receipts are appended. */
export const ledgerHeads = pgTable('ledger_heads', {
  tenantId: tenant().primaryKey(),
  seq: bigint('seq', { mode: 'number' }).notNull().default(0),
})

/** What many receipts share, stored once: the caller's key with its project and tags, and the model. */
export const receiptContexts = pgTable(
  'receipt_contexts',
  {
    tenantId: tenant(),
    id: bigserial('id', { mode: 'number' }).notNull(),
    keyId: text('key_id').notNull(),
    project: text('project'),
    tags: jsonb('tags').$type<Record<string, string>>().notNull(),
    model: text('model').notNull(),
    version: integer('version').notNull(),
    digest: text('digest').notNull(),
    kind: text('kind').notNull(),
    priceBook: text('price_book').notNull(),
    /** SHA-256 over the fields above; one row per distinct context. */
    fingerprint: text('fingerprint').notNull(),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.fingerprint] }),
    index('receipt_contexts_id').on(t.id),
  ],
)

export const receipts = pgTable(
  'receipts',
  {
    tenantId: tenant(),
    seq: bigint('seq', { mode: 'number' }).notNull(),
    id: text('id').notNull(),
    context: bigint('context', { mode: 'number' }).notNull(),
    /** The request, or the job and its shard (`run_…/3`). */
    work: text('work').notNull(),
    at: timestamp('at', { withTimezone: true }).notNull(),
    requests: count('requests'),
    rows: count('rows'),
    computeUs: count('compute_us'),
    bytesIn: count('bytes_in'),
    bytesOut: count('bytes_out'),
    tokens: count('tokens'),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.id] }),
    index('receipts_by_seq').on(t.tenantId, t.seq),
    // Receipts come nearly in the order of time, so a range index tells as much as a tree and costs nothing.
    index('receipts_by_time').using('brin', t.at),
  ],
)
