/** What a tenant has said about how its models are served; a model without a row is served plainly. */
import { sql } from 'drizzle-orm'
import { jsonb, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'
import type { TenantId } from '#schemas/ids.ts'
import type { CacheSetting, LogSetting } from '#schemas/serving.ts'

export const modelServing = pgTable(
  'model_serving',
  {
    tenantId: text('tenant_id').$type<TenantId>().notNull(),
    model: text('model').notNull(),
    /** Null: answers are not kept. */
    cache: jsonb('cache').$type<CacheSetting>(),
    /** Null: nothing is kept of what it is asked. */
    inferenceLog: jsonb('inference_log').$type<LogSetting>(),
    changedAt: timestamp('changed_at', { withTimezone: true }).notNull().default(sql`now()`),
  },
  t => [primaryKey({ columns: [t.tenantId, t.model] })],
)
