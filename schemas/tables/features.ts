/** Feature views and feature services: every version, immutable, known by its content hash. */
import { sql } from 'drizzle-orm'
import { boolean, integer, jsonb, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'
import type { ServicePlan, ViewPlan } from '#schemas/feature.ts'
import type { TenantId } from '#schemas/ids.ts'

const at = (name: string) => timestamp(name, { withTimezone: true })
const tenant = () => text('tenant_id').$type<TenantId>().notNull()

export const featureViews = pgTable(
  'feature_views',
  {
    tenantId: tenant(),
    name: text('name').notNull(),
    version: integer('version').notNull(),
    hash: text('hash').notNull(),
    /** As the builder wrote it. */
    definition: jsonb('definition').notNull(),
    plan: jsonb('plan').$type<ViewPlan>().notNull(),
    /** Of a name's versions the newest active one serves those who name none. */
    active: boolean('active').notNull().default(true),
    createdAt: at('created_at').notNull().default(sql`now()`),
  },
  t => [primaryKey({ columns: [t.tenantId, t.name, t.version] })],
)

export const featureServices = pgTable(
  'feature_services',
  {
    tenantId: tenant(),
    name: text('name').notNull(),
    version: integer('version').notNull(),
    hash: text('hash').notNull(),
    definition: jsonb('definition').notNull(),
    plan: jsonb('plan').$type<ServicePlan>().notNull(),
    active: boolean('active').notNull().default(true),
    createdAt: at('created_at').notNull().default(sql`now()`),
  },
  t => [primaryKey({ columns: [t.tenantId, t.name, t.version] })],
)
