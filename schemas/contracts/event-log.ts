/** What becomes of the log of events: its segments, exports, how long it is kept, and who is forgotten. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'
import { sha256 } from './models.ts'
import { pageOf, pageQuery, timestamp } from './page.ts'

const segment = z.object({
  id: z.string(),
  type: z.string(),
  /** Of the contract whose fields are its columns. */
  version: z.number(),
  hour: timestamp,
  state: z.enum(['sealed', 'superseded']),
  superseded_by: z.string().nullable(),
  sha256,
  bytes: z.number(),
  rows: z.number(),
  events: z.number(),
  /** Its events lie between these in the log. */
  number_from: z.number(),
  number_to: z.number(),
  time_from: timestamp.nullable(),
  time_to: timestamp.nullable(),
  known_from: timestamp.nullable(),
  known_to: timestamp.nullable(),
  /** By partition: the first and the last seq of its rows. */
  watermarks: z.record(z.string(), z.array(z.number())),
  sealed_at: timestamp,
})

const settings = z.object({
  /** Days after which segments are removed; null: never. */
  retention_days: z.number().nullable(),
  /** Days for which events are kept in any case. */
  kept_days: z.number(),
})

const keyPart = z.union([z.string().min(1).max(1_024), z.number().int(), z.boolean()])
const erasure = z.object({
  id: z.string(),
  entity: z.string(),
  /** By which who knows the subject can recognise it. */
  subject_hash: z.string(),
  state: z.enum(['queued', 'running', 'done']),
  /** What was removed so far. */
  erased: z.object({
    events: z.number(),
    segments: z.number(),
    decisions: z.number(),
    rejections: z.number(),
  }),
  created_at: timestamp,
  finished_at: timestamp.nullable(),
})

const verdict = z.object({
  type: z.string(),
  hour: timestamp,
  /** Null: of the hour, not of one file. */
  segment: z.string().nullable(),
  check: z.string(),
  kind: z.string(),
  /** Null: there was nothing to be measured. */
  value: z.number().nullable(),
  min: z.number().nullable(),
  max: z.number().nullable(),
  ok: z.boolean(),
})

const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const
const reads = { ...control, scope: 'events:read' } as const
const bytes = { ...reads, limit: 'transfer', target: 'blobs' } as const

export const eventLogRoutes = [
  route({
    name: 'events.segments',
    method: 'GET',
    path: '/v1/events/segments',
    summary: 'The files into which the log was sealed, in the order in which it was.',
    query: pageQuery.extend({
      type: z.string().optional(),
      /** Hours of the log from this time on, up to before the other. */
      from: timestamp.optional(),
      to: timestamp.optional(),
      /** Also those that another took the place of. */
      superseded: z.enum(['true', 'false']).optional(),
    }),
    reply: pageOf(segment),
    status: 200,
    policy: reads,
  }),
  route({
    name: 'events.segment_content',
    method: 'GET',
    path: '/v1/events/segments/:segment_id/content',
    summary: 'A segment as Parquet. Takes Range.',
    status: 200,
    policy: bytes,
  }),
  route({
    name: 'events.export',
    method: 'GET',
    path: '/v1/events/export',
    summary: 'What the log of a type is made of now: its segments, and a cursor for the rest.',
    query: z.strictObject({
      type: z.string(),
      /** By the time of the events: segments that overlap it are given whole. */
      from: timestamp.optional(),
      to: timestamp.optional(),
    }),
    reply: z.object({
      type: z.string(),
      version: z.number(),
      /** Without their watermarks: there may be thousands. */
      segments: z.array(segment.omit({ watermarks: true })),
      /** For `GET /v1/events/export/rest`; null: all of it is sealed. */
      rest: z.string().nullable(),
    }),
    status: 200,
    policy: reads,
  }),
  route({
    name: 'events.export_rest',
    method: 'GET',
    path: '/v1/events/export/rest',
    summary:
      'What was not sealed at the time of the export, as Parquet of some thousand events; the header galley-next-cursor leads on.',
    query: z.strictObject({ cursor: z.string().max(1_500) }),
    status: 200,
    policy: bytes,
  }),
  route({
    name: 'events.settings',
    method: 'GET',
    path: '/v1/events/settings',
    summary: 'For how long the log is kept.',
    reply: settings,
    status: 200,
    policy: reads,
  }),
  route({
    name: 'events.change_settings',
    method: 'PUT',
    path: '/v1/events/settings',
    summary: 'Say for how long the log is kept.',
    body: z.strictObject({ retention_days: z.number().int().min(1).max(36_500).nullable() }),
    reply: settings,
    status: 200,
    policy: { ...control, scope: 'events:manage' },
  }),
  route({
    name: 'erasures.create',
    method: 'POST',
    path: '/v1/events/erasures',
    summary: 'Erase every event that tells about a subject, wherever it is kept.',
    body: z.strictObject({
      entity: z.string(),
      /** As the events have it: a value, or a list of them for a key of several fields. */
      key: z.union([keyPart, z.array(keyPart).min(1).max(4)]),
    }),
    reply: erasure,
    status: 202,
    idempotent: true,
    policy: { ...control, scope: 'events:manage' },
  }),
  route({
    name: 'erasures.list',
    method: 'GET',
    path: '/v1/events/erasures',
    summary: 'List erasures, the newest first.',
    query: pageQuery,
    reply: pageOf(erasure),
    status: 200,
    policy: reads,
  }),
  route({
    name: 'erasures.get',
    method: 'GET',
    path: '/v1/events/erasures/:erasure_id',
    summary: 'How far an erasure has come.',
    reply: erasure,
    status: 200,
    policy: reads,
  }),
  route({
    name: 'events.quality',
    method: 'GET',
    path: '/v1/events/quality',
    summary: 'What the checks of the contracts found in sealed hours.',
    query: pageQuery.extend({
      type: z.string().optional(),
      from: timestamp.optional(),
      to: timestamp.optional(),
      /** Those alone that did not hold. */
      failed: z.enum(['true', 'false']).optional(),
    }),
    reply: pageOf(verdict),
    status: 200,
    policy: reads,
  }),
] as const
