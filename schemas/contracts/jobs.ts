/** Bulk work: jobs, their progress and their results. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'
import { alias, modelName, sha256 } from './models.ts'
import { pageOf, pageQuery, timestamp } from './page.ts'

export const jobBody = z.strictObject({
  kind: z.literal('inference').default('inference'),
  model: modelName,
  /** A number or an alias; the job pins what it means now. */
  version: z.union([z.number().int().min(1), alias]).optional(),
  input: z.strictObject({
    /** Digest of a completed upload: the reference by which blobs are named. */
    sha256,
    format: z.enum(['jsonl', 'parquet']),
  }),
  /** Seconds from now after which a job that is not done counts as expired. */
  expires_in_s: z
    .number()
    .int()
    .min(60)
    .max(30 * 86_400)
    .default(7 * 86_400),
})

export const job = z.object({
  id: z.string(),
  kind: z.string(),
  state: z.enum(['queued', 'running', 'done', 'failed', 'canceled', 'expired']),
  model: z.string(),
  version: z.number(),
  digest: sha256,
  input: z.object({ sha256, size: z.number(), format: z.enum(['jsonl', 'parquet']) }),
  /** Null until the input has been read once. */
  rows_total: z.number().nullable(),
  rows_done: z.number(),
  /** Rows among those done that have an error in place of outputs. */
  rows_failed: z.number(),
  progress: z.number().min(0).max(1),
  result: z.object({ size: z.number(), url: z.string() }).nullable(),
  error: z.object({ code: z.string(), detail: z.string() }).nullable(),
  created_at: timestamp,
  started_at: timestamp.nullable(),
  ended_at: timestamp.nullable(),
  expires_at: timestamp,
})

const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const

export const jobRoutes = [
  route({
    name: 'jobs.create',
    method: 'POST',
    path: '/v1/jobs',
    summary: 'Run a model over every row of an uploaded file.',
    body: jobBody,
    reply: job,
    status: 202,
    idempotent: true,
    policy: { ...control, scope: 'jobs:write' },
  }),
  route({
    name: 'jobs.list',
    method: 'GET',
    path: '/v1/jobs',
    summary: 'List jobs, newest first.',
    query: pageQuery,
    reply: pageOf(job),
    status: 200,
    policy: { ...control, scope: 'jobs:read' },
  }),
  route({
    name: 'jobs.get',
    method: 'GET',
    path: '/v1/jobs/:job_id',
    summary: 'Show a job and its progress.',
    reply: job,
    status: 200,
    policy: { ...control, scope: 'jobs:read' },
  }),
  route({
    name: 'jobs.cancel',
    method: 'POST',
    path: '/v1/jobs/:job_id/cancel',
    summary: 'Stop a job; shards that are done stay billed.',
    reply: job,
    status: 200,
    policy: { ...control, scope: 'jobs:write' },
  }),
  route({
    name: 'jobs.results',
    method: 'GET',
    path: '/v1/jobs/:job_id/results',
    summary: 'The result file, in the format and order of the input. Takes Range.',
    status: 200,
    policy: { ...control, scope: 'jobs:read', limit: 'transfer', target: 'blobs' },
  }),
] as const
