/**
 * Feature views and feature services: every version, immutable, known by its content hash. And a sample of what
 * was read of them, which is computed again later.
 */
import { sql } from 'drizzle-orm'
import {
  bigint,
  bigserial,
  boolean,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
} from 'drizzle-orm/pg-core'
import type { FeatureValue, ServicePlan, Status, ViewPlan } from '#schemas/feature.ts'
import type { KeyId, RunId, TenantId } from '#schemas/ids.ts'

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

export type ReadState = 'new' | 'same' | 'differs'
/** What came out of a read when it was computed again, of a feature that differed. */
export type Recomputed = { feature: string; value: FeatureValue; status: Status }

/** Some of the reads that were answered, each of one view for one entity. */
export const featureReads = pgTable(
  'feature_reads',
  {
    tenantId: tenant(),
    id: bigserial('id', { mode: 'number' }).notNull(),
    /** Of the key that asked. */
    keyId: text('key_id').$type<KeyId>().notNull(),
    view: text('view').notNull(),
    version: integer('version').notNull(),
    entity: text('entity').notNull(),
    entityKey: text('entity_key').notNull(),
    /** Microseconds: exactly what was known then was seen. */
    at: bigint('at', { mode: 'number' }).notNull(),
    values: jsonb('values').$type<FeatureValue[]>().notNull(),
    statuses: jsonb('statuses').$type<Status[]>().notNull(),
    state: text('state').$type<ReadState>().notNull().default('new'),
    differences: jsonb('differences').$type<Recomputed[]>(),
    checkedAt: at('checked_at'),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.id] }),
    index('feature_reads_unchecked').on(t.tenantId).where(sql`state = 'new'`),
  ],
)

/** Imported tables: every version, known by the digest of its file. Its rows are events of `table.<name>`. */
export const featureTables = pgTable(
  'feature_tables',
  {
    tenantId: tenant(),
    name: text('name').notNull(),
    version: integer('version').notNull(),
    sha256: text('sha256').notNull(),
    size: bigint('size', { mode: 'number' }).notNull(),
    format: text('format').$type<'jsonl' | 'parquet'>().notNull(),
    /** The column that says since when a row holds; null: since the import. */
    time: text('time'),
    /** Of the event type. */
    typeVersion: integer('type_version').notNull(),
    /** That imports it. */
    runId: text('run_id').$type<RunId>().notNull(),
    createdAt: at('created_at').notNull(),
  },
  t => [primaryKey({ columns: [t.tenantId, t.name, t.version] })],
)
