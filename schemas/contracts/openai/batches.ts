/** Batches of requests, in the form of OpenAI. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'
import { listOf } from './listed.ts'

const openai = { errors: 'openai', status: 200 } as const
const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const
const METADATA_MAX = 16

const seconds = z.number().nullable()
const batch = z.object({
  id: z.string(),
  object: z.literal('batch'),
  endpoint: z.string(),
  /** Pinned when the file has been read. */
  model: z.string().nullable(),
  errors: z
    .object({
      object: z.literal('list'),
      data: z.array(
        z.object({
          code: z.string(),
          message: z.string(),
          line: z.number().nullable(),
          param: z.string().nullable(),
        }),
      ),
    })
    .nullable(),
  input_file_id: z.string(),
  completion_window: z.string(),
  status: z.enum([
    'validating',
    'failed',
    'in_progress',
    'finalizing',
    'completed',
    'expired',
    'cancelling',
    'cancelled',
  ]),
  output_file_id: z.string().nullable(),
  error_file_id: z.string().nullable(),
  created_at: z.number(),
  in_progress_at: seconds,
  expires_at: seconds,
  finalizing_at: seconds,
  completed_at: seconds,
  failed_at: seconds,
  expired_at: seconds,
  cancelling_at: seconds,
  cancelled_at: seconds,
  request_counts: z.object({ total: z.number(), completed: z.number(), failed: z.number() }),
  metadata: z.record(z.string(), z.string()).nullable(),
})

export const batchRoutes = [
  route({
    name: 'openai.create_batch',
    method: 'POST',
    path: '/v1/batches',
    summary: 'Run a file of embedding requests, each a line of it.',
    body: z.object({
      input_file_id: z.string().max(100),
      endpoint: z.literal('/v1/embeddings', 'only "/v1/embeddings" is run in batches here'),
      completion_window: z.literal('24h', 'it is "24h"'),
      metadata: z
        .record(z.string().max(64), z.string().max(512))
        .refine(given => Object.keys(given).length <= METADATA_MAX, `at most ${METADATA_MAX} pairs`)
        .nullish(),
      output_expires_after: z
        .object({
          anchor: z.literal('created_at'),
          seconds: z.number().int().min(3_600).max(2_592_000),
        })
        .optional(),
    }),
    reply: batch,
    ...openai,
    idempotent: true,
    policy: { ...control, scope: 'jobs:write' },
  }),
  route({
    name: 'openai.batches',
    method: 'GET',
    path: '/v1/batches',
    summary: 'List batches, the newest first.',
    query: z.object({
      limit: z.coerce.number().int().min(1).max(100).default(20),
      after: z.string().max(100).optional(),
    }),
    reply: listOf(batch),
    ...openai,
    policy: { ...control, scope: 'jobs:read' },
  }),
  route({
    name: 'openai.batch',
    method: 'GET',
    path: '/v1/batches/:batch_id',
    summary: 'Show a batch and how far it is.',
    reply: batch,
    ...openai,
    policy: { ...control, scope: 'jobs:read' },
  }),
  route({
    name: 'openai.cancel_batch',
    method: 'POST',
    path: '/v1/batches/:batch_id/cancel',
    summary: 'Stop a batch; what is done by then becomes its files.',
    reply: batch,
    ...openai,
    policy: { ...control, scope: 'jobs:write' },
  }),
] as const
