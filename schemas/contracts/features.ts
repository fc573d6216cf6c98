/** Feature views and feature services: how they are defined, and how features are read. */
import * as z from 'zod'
import { FIELD_TYPES } from '#schemas/event.ts'
import { AGGREGATES, STATUSES } from '#schemas/feature.ts'
import { route } from '#schemas/route.ts'
import { pageOf, pageQuery, timestamp } from './page.ts'

export const name = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,62}$/, { error: 'a name of small letters, digits and _' })
const duration = z
  .string()
  .regex(/^[1-9][0-9]{0,8}(us|ms|s|m|h|d)$/, { error: 'a length of time such as 10m, 1h or 7d' })
const expression = z.string().min(1).max(2_000)

const feature = z.strictObject({
  agg: z.enum(AGGREGATES),
  /** The field; of every aggregate but count. */
  of: z.string().optional(),
  /** Looks back so far from the time of the read. */
  window: duration.optional(),
  /** Lets the window begin at whole hops, which is cheaper to keep. */
  hop: duration.optional(),
  /** Of `last` without a window: an older value is not given any more. */
  ttl: duration.optional(),
  /** Of last_k. */
  k: z.number().int().min(1).max(100).optional(),
})

export const viewBody = z.strictObject({
  entity: name,
  event_type: z.string().min(1).max(200),
  filter: expression.optional(),
  /** Events that become known later than this after they happened are not seen. */
  allowed_lateness: duration.optional(),
  features: z
    .record(name, feature)
    .refine(features => Object.keys(features).length > 0, { error: 'at least one feature' }),
})
export type ViewDefinition = z.output<typeof viewBody>

const requestField = z.strictObject({
  type: z.enum(FIELD_TYPES),
  scale: z.number().int().min(0).max(15).optional(),
})

export const serviceBody = z.strictObject({
  /** `view:feature`, or `view:*` for all of a view. */
  features: z
    .array(
      z.string().regex(/^[a-z][a-z0-9_]*:(\*|[a-z][a-z0-9_]*)$/, {
        error: 'a feature as view:feature, or view:* for all of a view',
      }),
    )
    .min(1)
    .max(1_000),
  /** What comes with a request, named `request.<name>` in transforms. */
  request: z.record(name, requestField).optional(),
  transforms: z.record(name, expression).optional(),
})
export type ServiceDefinition = z.output<typeof serviceBody>

const versioned = { name: z.string(), version: z.number(), hash: z.string(), created_at: timestamp }
const outputs = z.array(z.object({ name: z.string(), type: z.string() }))
export const view = z.object({ ...versioned, definition: viewBody, features: outputs })
export const service = z.object({
  ...versioned,
  definition: serviceBody,
  /** Views whose state it reads, each pinned at a version. */
  views: z.array(z.object({ name: z.string(), version: z.number(), hash: z.string() })),
  features: outputs,
})
const warnings = z.array(z.object({ pointer: z.string(), detail: z.string() }))
/** What a definition would become: `same` as what is active, or the next version. */
const planned = z.object({
  name: z.string(),
  change: z.enum(['new', 'same', 'next']),
  version: z.number(),
  hash: z.string(),
  warnings,
})

export const value = z.union([
  z.number(),
  z.string(),
  z.boolean(),
  z.null(),
  z.array(z.union([z.number(), z.string(), z.boolean(), z.null()])),
])

const readBody = z.strictObject({
  /** One object per row: entity → key, or its parts. */
  entities: z.array(z.record(z.string(), z.unknown())).min(1).max(1_000),
  /** One object per row. */
  request: z.array(z.record(z.string(), z.unknown())).optional(),
  /** Reads nothing older: partition → seq, as the positions of events say. */
  min_seq: z.record(z.string(), z.number().int().min(0)).optional(),
})

const read = z.object({
  service: z.string(),
  version: z.number(),
  hash: z.string(),
  features: z.array(z.string()),
  results: z.array(
    z.object({
      values: z.array(value),
      statuses: z.array(z.enum(STATUSES)),
      freshness: z.array(
        z.object({
          entity: z.string(),
          entity_key: z.string(),
          partition: z.number(),
          seq: z.number(),
          at: timestamp,
        }),
      ),
    }),
  ),
})

const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const
const reads = { ...control, scope: 'features:read' } as const
const writes = { ...control, scope: 'features:write' } as const

export const featureRoutes = [
  route({
    name: 'views.apply',
    method: 'PUT',
    path: '/v1/feature-views/:view',
    summary: 'Define a view; a change of anything that changes a value makes the next version.',
    params: z.object({ view: name }),
    body: viewBody,
    reply: view.extend({ warnings }),
    status: 200,
    policy: writes,
  }),
  route({
    name: 'views.plan',
    method: 'POST',
    path: '/v1/feature-views/:view/plan',
    summary: 'Say what a definition would change, and change nothing.',
    params: z.object({ view: name }),
    body: viewBody,
    reply: planned,
    status: 200,
    policy: writes,
  }),
  route({
    name: 'views.list',
    method: 'GET',
    path: '/v1/feature-views',
    summary: 'List views, each at its newest version.',
    query: pageQuery,
    reply: pageOf(view),
    status: 200,
    policy: reads,
  }),
  route({
    name: 'views.get',
    method: 'GET',
    path: '/v1/feature-views/:view',
    summary: 'Show a view at its newest version.',
    reply: view,
    status: 200,
    policy: reads,
  }),
  route({
    name: 'services.apply',
    method: 'PUT',
    path: '/v1/feature-services/:service',
    summary: 'Define what is read together; it pins the versions of its views.',
    params: z.object({ service: name }),
    body: serviceBody,
    reply: service.extend({ warnings }),
    status: 200,
    policy: writes,
  }),
  route({
    name: 'services.plan',
    method: 'POST',
    path: '/v1/feature-services/:service/plan',
    summary: 'Say what a definition would change, and change nothing.',
    params: z.object({ service: name }),
    body: serviceBody,
    reply: planned,
    status: 200,
    policy: writes,
  }),
  route({
    name: 'services.list',
    method: 'GET',
    path: '/v1/feature-services',
    summary: 'List services, each at its newest version.',
    query: pageQuery,
    reply: pageOf(service),
    status: 200,
    policy: reads,
  }),
  route({
    name: 'services.get',
    method: 'GET',
    path: '/v1/feature-services/:service',
    summary: 'Show a service at its newest version.',
    reply: service,
    status: 200,
    policy: reads,
  }),
  route({
    name: 'features.read',
    method: 'POST',
    path: '/v1/features/:service/read',
    summary: 'Read the features of a service for some entities, as of now.',
    body: readBody,
    reply: read,
    status: 200,
    policy: {
      limit: 'features',
      cache: 'none',
      meter: 'none',
      target: 'edge',
      scope: 'features:read',
    },
  }),
] as const
