/** Event types and events: how a type is declared, how events are sent, and how the log is read. */
import * as z from 'zod'
import { FIELD_TYPES } from '#schemas/event.ts'
import { route } from '#schemas/route.ts'
import { pageOf, pageQuery, timestamp } from './page.ts'

export const EVENTS_BODY_BYTES_MAX = 8 * 1024 ** 2

const fieldName = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,62}$/, { error: 'a name of small letters, digits and _' })
const scalar = z.union([z.string(), z.number(), z.boolean()])

const field = z.strictObject({
  type: z.enum(FIELD_TYPES),
  /** Digits after the point, of a decimal. */
  scale: z.number().int().min(0).max(15).optional(),
  optional: z.literal(true).optional(),
  /** Taken where the field is missing. */
  default: scalar.optional(),
  enum: z
    .array(z.union([z.string(), z.number()]))
    .min(1)
    .max(1_000)
    .optional(),
  min: z.number().optional(),
  max: z.number().optional(),
  length_max: z.number().int().min(1).max(10_000).optional(),
})
const share = z.number().min(0).max(1)
const severity = {
  /** `reject` refuses an event against it; `warn` measures the share of such events. */
  severity: z.enum(['reject', 'warn']).default('warn'),
  /** How many of the events of an hour may be against it. */
  max_share: share.default(0),
}
const check = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('null_rate'), field: fieldName, max: share }),
  z.strictObject({
    kind: z.literal('range'),
    field: fieldName,
    min: z.number().optional(),
    max: z.number().optional(),
    ...severity,
  }),
  z.strictObject({
    kind: z.literal('set'),
    field: fieldName,
    values: z
      .array(z.union([z.string(), z.number()]))
      .min(1)
      .max(1_000),
    ...severity,
  }),
  z.strictObject({
    kind: z.literal('uniqueness'),
    fields: z.array(fieldName).min(1).max(4),
    /** Of different values, to all of them. */
    min: share.default(1),
  }),
  /** Events of an hour. */
  z.strictObject({
    kind: z.literal('volume'),
    min: z.number().int().min(0).optional(),
    max: z.number().int().min(0).optional(),
  }),
  /** Seconds between the newest event and the end of the hour. */
  z.strictObject({ kind: z.literal('freshness'), max_s: z.number().int().min(1) }),
])

export const eventTypeBody = z.strictObject({
  fields: z.record(fieldName, field),
  /** Entity → the field that holds its key, or several. */
  entities: z
    .record(fieldName, z.union([fieldName, z.array(fieldName).min(1).max(4)]))
    .refine(entities => Object.keys(entities).length <= 8, { error: 'at most 8 entities' }),
  /** Days for which events are kept for windows. */
  online_days: z.number().int().min(1).max(400).default(40),
  /** What is to hold, by name. */
  checks: z
    .record(fieldName, check)
    .refine(checks => Object.keys(checks).length <= 50, { error: 'at most 50 checks' })
    .optional(),
})
export type EventTypeDefinition = z.output<typeof eventTypeBody>

export const eventType = z.object({
  type: z.string(),
  version: z.number(),
  ...eventTypeBody.shape,
  created_at: timestamp,
})

const position = z.object({
  source: z.string(),
  id: z.string(),
  entity: z.string(),
  entity_key: z.string(),
  partition: z.number(),
  seq: z.number(),
  known_at: timestamp,
})
const shownEvent = z.object({
  source: z.string(),
  id: z.string(),
  type: z.string(),
  version: z.number(),
  time: timestamp,
  received_at: timestamp,
  retracts: z.boolean(),
  data: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  positions: z.array(position.omit({ source: true, id: true })),
})
const rejection = z.object({
  number: z.number(),
  at: timestamp,
  source: z.string(),
  id: z.string(),
  type: z.string(),
  code: z.string(),
  detail: z.string(),
})
const result = z.object({
  index: z.number(),
  status: z.enum(['accepted', 'duplicate', 'rejected']),
  code: z.string().optional(),
  detail: z.string().optional(),
})

const typeName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_.-]{0,99}$/, { error: 'a name of letters, digits, _, . and -' })
const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const
const reads = { ...control, scope: 'events:read' } as const

export const eventRoutes = [
  route({
    name: 'event_types.declare',
    method: 'PUT',
    path: '/v1/event-types/:type',
    summary: 'Declare a type of events, or its next version, which must be compatible.',
    params: z.object({ type: typeName }),
    body: eventTypeBody,
    reply: eventType,
    status: 200,
    policy: { ...control, scope: 'features:write' },
  }),
  route({
    name: 'event_types.list',
    method: 'GET',
    path: '/v1/event-types',
    summary: 'List event types, each at its newest version.',
    query: pageQuery,
    reply: pageOf(eventType),
    status: 200,
    policy: reads,
  }),
  route({
    name: 'event_types.get',
    method: 'GET',
    path: '/v1/event-types/:type',
    summary: 'Show an event type at its newest version.',
    reply: eventType,
    status: 200,
    policy: reads,
  }),
  route({
    name: 'events.send',
    method: 'POST',
    path: '/v1/events',
    summary: 'Take CloudEvents: durable when it answers, visible to features in a moment.',
    query: z.strictObject({
      /** Takes the good ones of a batch and says which those are. */
      partial: z.enum(['true', 'false']).optional(),
      /** Answers when features see the events, with their positions. */
      wait: z.enum(['true', 'false']).optional(),
    }),
    raw: 'CloudEvents 1.0: binary, structured or batched',
    reply: z.object({
      accepted: z.number(),
      duplicates: z.number().optional(),
      rejected: z.number(),
      results: z.array(result).optional(),
      positions: z.array(position).optional(),
    }),
    status: 202,
    bodyBytesMax: EVENTS_BODY_BYTES_MAX,
    policy: {
      limit: 'events',
      cache: 'none',
      meter: 'none',
      target: 'edge',
      scope: 'events:write',
    },
  }),
  route({
    name: 'events.list',
    method: 'GET',
    path: '/v1/events',
    summary: 'The log, in the order in which events came into it.',
    query: pageQuery.extend({
      type: z.string().optional(),
      /** Without a cursor: the newest page instead of the oldest. */
      newest: z.enum(['true', 'false']).optional(),
    }),
    reply: pageOf(shownEvent).extend({
      /** A cursor for what comes after these, also when there is no more for now. */
      tail: z.string(),
    }),
    status: 200,
    policy: reads,
  }),
  route({
    name: 'events.find',
    method: 'GET',
    path: '/v1/events/find',
    summary: 'One event by its source and id, with its positions.',
    query: z.strictObject({ source: z.string(), id: z.string() }),
    reply: shownEvent,
    status: 200,
    policy: reads,
  }),
  route({
    name: 'events.rejected',
    method: 'GET',
    path: '/v1/events/rejected',
    summary: 'Events that were acknowledged and contradict an earlier one.',
    query: pageQuery,
    reply: pageOf(rejection),
    status: 200,
    policy: reads,
  }),
] as const
