/** Why values are what they are: the events behind one, and reads that were sampled beside what the log gives. */
import * as z from 'zod'
import { STATUSES } from '#schemas/feature.ts'
import { route } from '#schemas/route.ts'
import { value } from './features.ts'
import { timestamp } from './page.ts'

const skew = z.object({
  /** Of the last seven days, by view and version. */
  views: z.array(
    z.object({
      view: z.string(),
      version: z.number(),
      sampled: z.number(),
      checked: z.number(),
      mismatches: z.number(),
      last_checked_at: timestamp.nullable(),
    }),
  ),
  /** The newest reads that differ. */
  mismatches: z.array(
    z.object({
      view: z.string(),
      version: z.number(),
      entity: z.string(),
      entity_key: z.string(),
      at: timestamp,
      feature: z.string(),
      served: z.object({ value, status: z.enum(STATUSES) }),
      recomputed: z.object({ value, status: z.enum(STATUSES) }),
    }),
  ),
})

const keyPart = z.union([z.string().min(1), z.number().int(), z.boolean()])
const explainBody = z.strictObject({
  /** Of the view's entity, or its parts. */
  key: z.union([keyPart, z.array(keyPart).min(1).max(4)]),
  /** Without it the newest. */
  version: z.number().int().min(1).optional(),
  /** As of then; without it, now. */
  at: timestamp.optional(),
})

const explanation = z.object({
  view: z.string(),
  version: z.number(),
  hash: z.string(),
  entity: z.string(),
  entity_key: z.string(),
  partition: z.number(),
  seq: z.number(),
  at: timestamp,
  values: z.array(z.object({ feature: z.string(), value, status: z.enum(STATUSES) })),
  /** Those in any span of the view, the newest first, 200 at most. */
  events: z.array(
    z.object({
      time: timestamp,
      known_at: timestamp,
      seq: z.number(),
      retracted_at: timestamp.nullable(),
      data: z.record(z.string(), value),
      /** Of which it is a part. */
      features: z.array(z.string()),
      left_out: z.enum(['not_known_yet', 'late', 'retracted', 'filtered', 'older']).nullable(),
    }),
  ),
  events_total: z.number(),
})

export const explainRoutes = [
  route({
    name: 'views.explain',
    method: 'POST',
    path: '/v1/feature-views/:view/explain',
    summary: 'Show the values of a view for one entity, and the events that make them.',
    body: explainBody,
    reply: explanation,
    status: 200,
    policy: {
      limit: 'control',
      cache: 'none',
      meter: 'none',
      target: 'functions',
      scope: 'features:read',
    },
  }),
  route({
    name: 'features.skew',
    method: 'GET',
    path: '/v1/features/skew',
    summary: 'What reads that were sampled gave, and whether the log gives the same.',
    reply: skew,
    status: 200,
    policy: {
      limit: 'control',
      cache: 'none',
      meter: 'none',
      target: 'functions',
      scope: 'features:read',
    },
  }),
] as const
