/**
 * What becomes of the log: sealed by the hour into files, whose manifest stands here, kept for as long as
 * the tenant says, checked, and freed of those who ask to be forgotten.
 */
import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
} from 'drizzle-orm/pg-core'
import type { ErasureId, SegmentId, TenantId } from '#schemas/ids.ts'

const at = (name: string) => timestamp(name, { withTimezone: true })
const tenant = () => text('tenant_id').$type<TenantId>().notNull()
const whole = (name: string) => bigint(name, { mode: 'number' })

/** How far a tenant's log is sealed, and who is at it. */
export const eventSeals = pgTable(
  'event_seals',
  {
    tenantId: tenant(),
    /** Events up to this number are in segments, but for those that `event_retractions` names. */
    number: whole('number').notNull().default(0),
    /** The hour that was sealed last. */
    hour: at('hour'),
    /** Whoever changes segments holds this, until then. */
    holder: text('holder'),
    heldUntil: at('held_until'),
  },
  t => [primaryKey({ columns: [t.tenantId] })],
)

/** By partition: the first and the last seq of its rows. */
export type Watermarks = Record<string, [from: number, to: number]>
export type SegmentState = 'writing' | 'sealed' | 'superseded'

/** One file each, written before its row says `sealed`. */
export const eventSegments = pgTable(
  'event_segments',
  {
    tenantId: tenant(),
    id: text('id').$type<SegmentId>().notNull(),
    type: text('type').notNull(),
    /** Of the contract whose fields are its columns. */
    version: integer('version').notNull(),
    /** Of the log: in which its events were taken. */
    hour: at('hour').notNull(),
    state: text('state').$type<SegmentState>().notNull(),
    blob: text('blob').notNull(),
    sha256: text('sha256').notNull(),
    bytes: whole('bytes').notNull(),
    rows: whole('rows').notNull(),
    events: whole('events').notNull(),
    numberFrom: whole('number_from').notNull(),
    numberTo: whole('number_to').notNull(),
    /** Microseconds; null: it has no rows, or none with a place. */
    eventTimeFrom: whole('event_time_from'),
    eventTimeTo: whole('event_time_to'),
    knownFrom: whole('known_from'),
    knownTo: whole('known_to'),
    watermarks: jsonb('watermarks').$type<Watermarks>().notNull(),
    sealedAt: at('sealed_at').notNull(),
    /** The segment that took its place, without what had to be forgotten. */
    supersededBy: text('superseded_by').$type<SegmentId>(),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.id] }),
    index('event_segments_by_type').on(t.tenantId, t.type, t.hour),
  ],
)

/** What a tenant has said about its log. */
export const eventSettings = pgTable(
  'event_settings',
  {
    tenantId: tenant(),
    /** Null: for ever. */
    retentionDays: integer('retention_days'),
    changedAt: at('changed_at').notNull().default(sql`now()`),
  },
  t => [primaryKey({ columns: [t.tenantId] })],
)

export type ErasureState = 'queued' | 'running' | 'done'
/** What was removed so far. */
export type Erased = {
  events: number
  segments: number
  decisions: number
  rejections: number
}

export const eventErasures = pgTable(
  'event_erasures',
  {
    tenantId: tenant(),
    id: text('id').$type<ErasureId>().notNull(),
    entity: text('entity').notNull(),
    /** Whose events are erased; null once they are. */
    subject: text('subject'),
    /** By which it can be recognised by who knows it. */
    subjectHash: text('subject_hash').notNull(),
    state: text('state').$type<ErasureState>().notNull(),
    erased: jsonb('erased').$type<Erased>().notNull(),
    createdAt: at('created_at').notNull(),
    finishedAt: at('finished_at'),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.id] }),
    index('event_erasures_open').on(t.tenantId, t.createdAt).where(sql`state <> 'done'`),
  ],
)

/** What the checks of a contract found in a segment. */
export const eventQuality = pgTable(
  'event_quality',
  {
    tenantId: tenant(),
    segment: text('segment').$type<SegmentId>().notNull(),
    /** Of the check, in the contract. */
    name: text('name').notNull(),
    type: text('type').notNull(),
    hour: at('hour').notNull(),
    kind: text('kind').notNull(),
    /** What was measured, and what it may be. */
    value: doublePrecision('value'),
    min: doublePrecision('min'),
    max: doublePrecision('max'),
    ok: boolean('ok').notNull(),
    /** Whether the tenant's log says so, where it is not. */
    told: boolean('told').notNull().default(false),
    at: at('at').notNull(),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.segment, t.name] }),
    index('event_quality_by_hour').on(t.tenantId, t.hour),
    index('event_quality_untold').on(t.tenantId).where(sql`not ok and not told`),
  ],
)
