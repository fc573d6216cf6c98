/** The skew meter: reads that were sampled, and what the log gives in their place. */
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

export const skewRoutes = [
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
