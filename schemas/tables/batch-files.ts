/** Files of batches: requests that come, answers and errors that are made. Their bytes are blobs. */
import { sql } from 'drizzle-orm'
import { bigint, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'
import type { FileId, TenantId } from '#schemas/ids.ts'

const at = (name: string) => timestamp(name, { withTimezone: true })

export type FilePurpose = 'batch' | 'batch_output'
/** `uploading`: its bytes may be there in part. `deleted`: they may be there still. Neither is shown. */
export type FileState = 'uploading' | 'ready' | 'deleted'

export const batchFiles = pgTable(
  'batch_files',
  {
    tenantId: text('tenant_id').$type<TenantId>().notNull(),
    id: text('id').$type<FileId>().notNull(),
    state: text('state').$type<FileState>().notNull(),
    purpose: text('purpose').$type<FilePurpose>().notNull().default('batch'),
    filename: text('filename').notNull().default(''),
    size: bigint('size', { mode: 'number' }).notNull().default(0),
    createdAt: at('created_at').notNull().default(sql`now()`),
    expiresAt: at('expires_at'),
  },
  t => [primaryKey({ columns: [t.tenantId, t.id] })],
)
