/** What models were asked and answered, as far as their tenant keeps it: an hour in rows, then in files. */
import { bigint, index, integer, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'
import type { SegmentId, TenantId } from '#schemas/ids.ts'

const at = (name: string) => timestamp(name, { withTimezone: true })
const tenant = () => text('tenant_id').$type<TenantId>().notNull()

/** One row a request. They go when they stand in a file. */
export const inferenceLog = pgTable(
  'inference_log',
  {
    tenantId: tenant(),
    /** Of the request. */
    id: text('id').notNull(),
    model: text('model').notNull(),
    version: integer('version').notNull(),
    digest: text('digest').notNull(),
    at: at('at').notNull(),
    keyId: text('key_id').notNull(),
    receipt: text('receipt').notNull(),
    /** By which the features can be found that the request was made of, as the caller said. */
    features: text('features'),
    /** Whom it is about: an entity by kind and key, as events have it. */
    subjectEntity: text('subject_entity'),
    subject: text('subject'),
    rows: integer('rows').notNull(),
    /** Tensors by name, as JSON. */
    inputs: text('inputs').notNull(),
    outputs: text('outputs').notNull(),
    retentionDays: integer('retention_days').notNull(),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.id] }),
    index('inference_log_by_time').on(t.tenantId, t.model, t.at),
    // The oldest of any model: sealing asks for it, of every tenant.
    index('inference_log_oldest').on(t.tenantId, t.at),
  ],
)

/** A Parquet file each; stored before its row says `sealed`, and gone after it no longer does. */
export const inferenceSegments = pgTable(
  'inference_segments',
  {
    tenantId: tenant(),
    id: text('id').$type<SegmentId>().notNull(),
    model: text('model').notNull(),
    hour: at('hour').notNull(),
    state: text('state').$type<'writing' | 'sealed' | 'leaving'>().notNull(),
    blob: text('blob').notNull(),
    sha256: text('sha256').notNull(),
    bytes: bigint('bytes', { mode: 'number' }).notNull(),
    rows: integer('rows').notNull(),
    /** Kinds of the entities that its rows are about. */
    subjectEntities: text('subject_entities').array().notNull(),
    expiresAt: at('expires_at').notNull(),
    sealedAt: at('sealed_at').notNull(),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.id] }),
    index('inference_segments_by_hour').on(t.tenantId, t.model, t.hour),
  ],
)
