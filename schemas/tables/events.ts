/**
 * Event types and the log of events. `events` and `event_positions` are partitioned by the day on which
 * Galley took the event, which the migration adds: a day is dropped whole when its segments are sealed.
 */
import { sql } from 'drizzle-orm'
import {
  bigint,
  bigserial,
  boolean,
  date,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core'
import type { EventType, Value } from '#schemas/event.ts'
import type { BatchId, TenantId } from '#schemas/ids.ts'

const at = (name: string) => timestamp(name, { withTimezone: true })
const tenant = () => text('tenant_id').$type<TenantId>().notNull()
const micros = (name: string) => bigint(name, { mode: 'number' })
/** In the log: given to the key of an event. */
const number = () => bigint('number', { mode: 'number' }).notNull()

/** Each version of a contract; the newest is the one that events are checked against. */
export const eventTypes = pgTable(
  'event_types',
  {
    tenantId: tenant(),
    type: text('type').notNull(),
    version: integer('version').notNull(),
    definition: jsonb('definition').$type<EventType>().notNull(),
    createdAt: at('created_at').notNull().default(sql`now()`),
  },
  t => [primaryKey({ columns: [t.tenantId, t.type, t.version] })],
)

/** Which events there have been: kept for longer than any sender repeats itself, and any object keeps them. */
export const eventKeys = pgTable(
  'event_keys',
  {
    tenantId: tenant(),
    key: uuid('key').notNull(),
    bodyHash: uuid('body_hash').notNull(),
    /** Where the event is in the log. */
    day: date('day').notNull(),
    /** Grows in the order in which a tenant's events are committed: who has read up to one missed none before it. */
    number: bigserial('number', { mode: 'number' }).notNull(),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.key] }),
    index('event_keys_by_day').using('brin', t.day),
  ],
)

export const events = pgTable(
  'events',
  {
    tenantId: tenant(),
    day: date('day').notNull(),
    number: number(),
    key: uuid('key').notNull(),
    id: text('id').notNull(),
    source: text('source').notNull(),
    type: text('type').notNull(),
    version: integer('version').notNull(),
    eventTime: micros('event_time').notNull(),
    receivedAt: micros('received_at').notNull(),
    data: jsonb('data').$type<Record<string, Value>>().notNull(),
    retracts: uuid('retracts'),
    bodyHash: uuid('body_hash').notNull(),
  },
  // By number, which grows: an index of keys, which are hashes, would be written to all over.
  t => [primaryKey({ columns: [t.tenantId, t.number, t.day] })],
)

/** Where events stand for their entities, as the partitions' single writers assigned it. */
export const eventPositions = pgTable(
  'event_positions',
  {
    tenantId: tenant(),
    /** Day, number and key of the event. */
    day: date('day').notNull(),
    number: number(),
    key: uuid('key').notNull(),
    entity: text('entity').notNull(),
    entityKey: text('entity_key').notNull(),
    partition: integer('partition').notNull(),
    seq: bigint('seq', { mode: 'number' }).notNull(),
    /** As it was applied: of a decision without a time of its own, the object's. */
    eventTime: micros('event_time').notNull(),
    knownAt: micros('known_at').notNull(),
  },
  t => [primaryKey({ columns: [t.tenantId, t.number, t.entity, t.day] })],
)

/**
 * Events that are in the log and not yet in every partition of theirs: written with the log's rows,
 * deleted with the last of their positions. What is left is done again by a sweep.
 */
export const eventBatches = pgTable(
  'event_batches',
  {
    tenantId: tenant(),
    id: text('id').$type<BatchId>().notNull(),
    day: date('day').notNull(),
    keys: uuid('keys').array().notNull(),
    createdAt: at('created_at').notNull().default(sql`now()`),
  },
  t => [primaryKey({ columns: [t.tenantId, t.id] }), index('event_batches_by_age').on(t.createdAt)],
)

/**
 * Retractions whose event had not come when they did. They are placed when it does, and sealed after that
 * or when they are given up: until then they are in no segment, whatever their number.
 */
export const eventRetractions = pgTable(
  'event_retractions',
  {
    tenantId: tenant(),
    /** The event that is taken back. */
    target: uuid('target').notNull(),
    key: uuid('key').notNull(),
    day: date('day').notNull(),
    /** It waits no longer. */
    due: boolean('due').notNull().default(false),
  },
  t => [primaryKey({ columns: [t.tenantId, t.target, t.key] })],
)

/** Events that were acknowledged and then found to contradict an earlier one: counted, shown, never silent. */
export const eventRejections = pgTable(
  'event_rejections',
  {
    tenantId: tenant(),
    number: bigserial('number', { mode: 'number' }).notNull(),
    at: at('at').notNull(),
    source: text('source').notNull(),
    id: text('id').notNull(),
    type: text('type').notNull(),
    code: text('code').notNull(),
    detail: text('detail').notNull(),
    /** The key and the body tell one rejection from the next: a redelivery is not counted twice. */
    key: uuid('key').notNull(),
    bodyHash: uuid('body_hash').notNull(),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.key, t.bodyHash] }),
    index('event_rejections_by_number').on(t.tenantId, t.number),
  ],
)
