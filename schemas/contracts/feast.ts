/** The HTTP form of Feast's feature server, for its clients as they are (`online_store: {type: remote}`). */
import * as z from 'zod'
import { STATUSES } from '#schemas/feature.ts'
import { route } from '#schemas/route.ts'

const column = z.array(z.unknown())

const read = z.object({
  /** `view:feature`, or `view@v2:feature` of an older version. */
  features: z.array(z.string()).optional(),
  feature_service: z.string().nullish(),
  /** Keys by the name of the entity, or of the fields that hold its key; and the fields of the request. */
  entities: z.record(z.string(), column),
  request_context: z.record(z.string(), column).nullish(),
  full_feature_names: z.boolean().optional(),
  include_feature_view_version_metadata: z.boolean().optional(),
})

/** Column by column: each array has one element per row of the request. */
const answer = z.object({
  results: z.array(
    z.object({
      values: column,
      statuses: z.array(z.enum(STATUSES)),
      event_timestamps: z.array(z.string()),
    }),
  ),
  metadata: z.object({
    feature_names: z.array(z.string()),
    feature_view_metadata: z.array(z.object({ name: z.string(), version: z.number() })).optional(),
  }),
})

export const feastRoutes = [
  route({
    name: 'feast.read',
    method: 'POST',
    path: '/feast/get-online-features',
    summary: "Read features as of now, in the form of Feast's feature server.",
    body: read,
    reply: answer,
    status: 200,
    errors: 'feast',
    policy: {
      limit: 'features',
      cache: 'none',
      meter: 'none',
      target: 'edge',
      scope: 'features:read',
    },
  }),
  route({
    name: 'feast.health',
    method: 'GET',
    path: '/feast/health',
    summary: 'Whether this answers, for clients of Feast.',
    status: 200,
    errors: 'feast',
    policy: { scope: 'public', limit: null, cache: 'none', meter: 'none', target: 'edge' },
  }),
] as const
