/** Bulk work: jobs, their progress and their results. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'
import { name as featureName } from './features.ts'
import { alias, modelName, sha256 } from './models.ts'
import { pageOf, pageQuery, timestamp } from './page.ts'

const FORMATS = ['jsonl', 'parquet'] as const

/** Digest of a completed upload: the reference by which blobs are named. */
const inputFile = z.strictObject({ sha256, format: z.enum(FORMATS) })
const shownFile = z.object({ sha256, size: z.number(), format: z.enum(FORMATS) })

/** Seconds from now after which a job that is not done counts as expired. */
const expiresInS = z
  .number()
  .int()
  .min(60)
  .max(30 * 86_400)
  .default(7 * 86_400)

export const inferenceBody = z.strictObject({
  kind: z.literal('inference').optional(),
  model: modelName,
  /** A number or an alias; the job pins what it means now. */
  version: z.union([z.number().int().min(1), alias]).optional(),
  input: inputFile,
  expires_in_s: expiresInS,
})

export const trainingSetBody = z.strictObject({
  kind: z.literal('training_set'),
  service: featureName,
  /** Without it the newest. */
  version: z.number().int().min(1).optional(),
  /**
   * Labels: a row for each question, with `timestamp`, the keys of the entities that the service reads,
   * the fields that come with a request, and whatever else is to stand beside the values.
   */
  spine: inputFile,
  /** `as_served`: what a read at that time saw; `as_corrected`: what is known now of that time. */
  mode: z.enum(['as_served', 'as_corrected']).default('as_served'),
  /** What became known later is not seen. Without it: now. */
  as_of: timestamp.optional(),
  /** Of an earlier set, to make it again: what came into the log later is not seen. Without it: now. */
  log_position: z.number().int().min(0).optional(),
  /** Adds a column `<name>__status` per feature. */
  statuses: z.boolean().default(false),
  expires_in_s: expiresInS,
})

export const proofBody = z.strictObject({
  kind: z.literal('proof'),
  view: featureName,
  /** Without it the newest. */
  version: z.number().int().min(1).optional(),
  /** At most so many moments of entities are asked about. */
  questions: z.number().int().min(1).max(1_000_000).default(20_000),
  expires_in_s: expiresInS,
})

export const skewBody = z.strictObject({ kind: z.literal('skew'), expires_in_s: expiresInS })

export const jobBody = z.discriminatedUnion('kind', [
  inferenceBody,
  trainingSetBody,
  proofBody,
  skewBody,
])

const common = {
  id: z.string(),
  state: z.enum(['queued', 'running', 'done', 'failed', 'canceled', 'expired']),
  /** Null until the input has been read once. */
  rows_total: z.number().nullable(),
  rows_done: z.number(),
  /** Rows among those done that have an error in place of outputs. */
  rows_failed: z.number(),
  progress: z.number().min(0).max(1),
  /** `sha256` is null of results that are older than it. */
  result: z.object({ size: z.number(), sha256: sha256.nullable(), url: z.string() }).nullable(),
  error: z.object({ code: z.string(), detail: z.string() }).nullable(),
  created_at: timestamp,
  started_at: timestamp.nullable(),
  ended_at: timestamp.nullable(),
  expires_at: timestamp,
}

export const inferenceJob = z.object({
  ...common,
  kind: z.literal('inference'),
  model: z.string(),
  version: z.number(),
  digest: sha256,
  input: shownFile,
})

export const trainingSetJob = z.object({
  ...common,
  kind: z.literal('training_set'),
  service: z.string(),
  version: z.number(),
  /** Of the service: over all that changes a value. */
  hash: sha256,
  views: z.array(z.object({ name: z.string(), version: z.number(), hash: sha256 })),
  spine: shownFile,
  mode: z.enum(['as_served', 'as_corrected']),
  as_of: timestamp,
  log_position: z.number(),
  statuses: z.boolean(),
  /** What was read of the log, by event type; null until it is done. */
  log: z
    .record(
      z.string(),
      z.object({
        version: z.number(),
        segments: z.number(),
        segments_sha256: sha256,
        open_rows: z.number(),
      }),
    )
    .nullable(),
})

export const proofJob = z.object({
  ...common,
  kind: z.literal('proof'),
  view: z.string(),
  version: z.number(),
  hash: sha256,
  as_of: timestamp,
  log_position: z.number(),
  /** Null until it is done. The result has a line of JSON for each mismatch, shrunk to one entity. */
  proof: z
    .object({
      entities: z.number(),
      skipped: z.number(),
      questions: z.number(),
      values: z.number(),
      mismatches: z.number(),
    })
    .nullable(),
})

export const skewJob = z.object({
  ...common,
  kind: z.literal('skew'),
  as_of: timestamp,
  log_position: z.number(),
  /** Null until it is done. `pending`: differs so far, and is looked at again when the log has settled. */
  skew: z.object({ checked: z.number(), mismatches: z.number(), pending: z.number() }).nullable(),
})

/** Made by putting a table. */
export const importJob = z.object({
  ...common,
  kind: z.literal('import'),
  table: z.string(),
  version: z.number(),
  file: shownFile,
})

/** Made by OpenAI's clients: `/v1/batches/:batch_id` of the same id shows it in their form. */
export const batchJob = z.object({
  ...common,
  kind: z.literal('batch'),
  /** Null until the file has been read. */
  model: z.string().nullable(),
  version: z.number().nullable(),
  digest: sha256.nullable(),
  input_file_id: z.string(),
})

export const job = z.discriminatedUnion('kind', [
  inferenceJob,
  trainingSetJob,
  proofJob,
  skewJob,
  importJob,
  batchJob,
])

const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const

export const jobRoutes = [
  route({
    name: 'jobs.create',
    method: 'POST',
    path: '/v1/jobs',
    summary:
      'Run a model over every row of an uploaded file, make a training set from labels, prove a feature view, or check reads for skew.',
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
    summary: 'The result file, in the order of the input. Takes Range.',
    status: 200,
    policy: { ...control, scope: 'jobs:read', limit: 'transfer', target: 'blobs' },
  }),
] as const
