/** Sources of signed webhooks. */
import { jsonb, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'
import type { HookSource } from '#schemas/hook.ts'
import type { HookId, TenantId } from '#schemas/ids.ts'

const at = (name: string) => timestamp(name, { withTimezone: true })

export type StoredSecret = {
  name: string
  /** Encrypted under a key of the functions, for this row and this name alone. */
  sealed: string
  added_at: string
}

export const hookSources = pgTable(
  'hook_sources',
  {
    tenantId: text('tenant_id').$type<TenantId>().notNull(),
    name: text('name').notNull(),
    /** Stands in the address to which the sender posts; no key is asked for there. */
    id: text('id').$type<HookId>().notNull().unique(),
    definition: jsonb('definition').$type<HookSource>().notNull(),
    secrets: jsonb('secrets').$type<StoredSecret[]>().notNull(),
    createdAt: at('created_at').notNull(),
    changedAt: at('changed_at').notNull(),
  },
  t => [primaryKey({ columns: [t.tenantId, t.name] })],
)
