/** How a model is served: what its tenant opts into, model by model. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'
import { timestamp } from '../page.ts'

/** A day: an answer that must hold for longer belongs into a table of the caller's own. */
const CACHE_TTL_S_MAX = 86_400
export const CACHE_BYTES_MAX = 64 * 1024 ** 2
const CACHE_BYTES_DEFAULT = 8 * 1024 ** 2

const cache = z.strictObject({
  ttl_s: z.number().int().min(1).max(CACHE_TTL_S_MAX),
  bytes_max: z.number().int().min(1024).max(CACHE_BYTES_MAX).default(CACHE_BYTES_DEFAULT),
})

/** Parameters that mean something else, by the protocol or here. */
const TAKEN = ['binary_data_output', 'features', 'priority', 'sequence_id', 'timeout']
const parameter = z
  .string()
  .min(1)
  .max(63)
  .refine(name => !TAKEN.includes(name), {
    error: `A subject cannot stand in ${TAKEN.map(name => `"${name}"`).join(', ')}: these mean something else`,
  })

const inferenceLog = z.strictObject({
  /** The share of requests that is kept. */
  sample: z.number().gt(0).max(1),
  retention_days: z.number().int().min(1).max(3_650).default(30),
  subject: z.strictObject({ entity: z.string().min(1).max(63), parameter }).optional(),
})

/** Whole: what a change leaves out is off. */
const serving = z.strictObject({
  cache: cache.nullable().default(null),
  inference_log: inferenceLog.nullable().default(null),
})

const shown = z.object({
  model: z.string(),
  cache: z.object({ ttl_s: z.number(), bytes_max: z.number() }).nullable(),
  inference_log: z
    .object({
      sample: z.number(),
      retention_days: z.number(),
      subject: z.object({ entity: z.string(), parameter: z.string() }).optional(),
    })
    .nullable(),
  /** Null: nothing was ever said. */
  changed_at: timestamp.nullable(),
})

const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const

export const servingRoutes = [
  route({
    name: 'models.serving',
    method: 'GET',
    path: '/v1/registry/models/:model/serving',
    summary: 'Show what a model is served with besides being run.',
    reply: shown,
    status: 200,
    policy: { ...control, scope: 'models:read' },
  }),
  route({
    name: 'models.change_serving',
    method: 'PUT',
    path: '/v1/registry/models/:model/serving',
    summary:
      'Say what a model is served with: a cache of its answers, a log of a sample. What is left out is off.',
    body: serving,
    reply: shown,
    status: 200,
    policy: { ...control, scope: 'models:write' },
  }),
] as const
