/** Uploads and the model registry. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'
import { DATATYPES } from '#schemas/signature.ts'
import { pageOf, pageQuery, timestamp } from './page.ts'

export const FILE_BYTES_MAX = 2 * 1024 ** 3
export const PART_BYTES_MAX = 32 * 1024 ** 2
/** Of one text. */
const TOKENS_MAX = 32_768

export const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 digest in 64 hex digits')
/** An alias never looks like a number: one path segment names either. */
export const alias = z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, 'lower-case, begins with a letter')
export const modelName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'lower-case letters, digits, ".", "_" and "-", at most 63')

const tensorSpec = z.object({
  name: z.string(),
  datatype: z.enum(DATATYPES),
  shape: z.array(z.number()),
  batch_axis: z.number().nullable(),
})

const path = z
  .string()
  .max(200)
  .regex(/^(?!.*(^|\/)\.\.?(\/|$))[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/, 'a relative path')

const embedding = z.strictObject({
  tokenizer: path,
  max_tokens: z.number().int().min(2).max(TOKENS_MAX),
  pooling: z.enum(['mean', 'cls', 'last', 'none']),
  normalize: z.boolean().default(true),
  truncate: z.boolean().default(false),
  output: z.string().max(200).optional(),
  prefixes: z.record(z.string().regex(/^[a-z_]{1,40}$/), z.string().max(200)).optional(),
  dimensions: z.array(z.number().int().min(1).max(65_536)).max(32).optional(),
})

/** A class of machines by the name that their operator gave it. */
export const hardware = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'lower-case letters, digits, ".", "_" and "-", at most 63')

export const signature = z.object({
  inputs: z.array(tensorSpec),
  outputs: z.array(tensorSpec),
  batching: z.enum(['invariant', 'shape_sensitive', 'unbatched']),
  embedding: z
    .object({
      output: z.string(),
      width: z.number(),
      is_masked: z.boolean(),
      vocabulary: z.number(),
    })
    .optional(),
})

export const manifest = z.strictObject({
  graph: path.optional(),
  files: z
    .array(z.strictObject({ path, sha256, size: z.number().int().min(1).max(FILE_BYTES_MAX) }))
    .min(1)
    .max(64),
  batch_axes: z.record(z.string(), z.number().int().min(0).max(8).nullable()).optional(),
  trial_shapes: z.record(z.string(), z.array(z.number().int().min(1))).optional(),
  embedding: embedding.optional(),
  hardware: hardware.optional(),
})

export const upload = z.object({
  id: z.string(),
  sha256,
  size: z.number(),
  /**
   * `verifying`: the parts are joined and their digest is computed, which takes a while where they are many.
   * `failed`: `error` says what was wrong; parts may be sent again, and the upload completed again.
   */
  state: z.enum(['open', 'verifying', 'complete', 'failed']),
  error: z.object({ code: z.string(), detail: z.string() }).nullable(),
  part_bytes_max: z.number(),
  parts: z.array(z.object({ number: z.number(), size: z.number(), sha256 })),
  created_at: timestamp,
})

export const tuning = z.object({
  hardware: z.string(),
  threads: z.number(),
  batch_rows: z.number(),
  row_us: z.number(),
  load_ms: z.number(),
  curve: z.array(z.object({ threads: z.number(), rows: z.number(), run_us: z.number() })),
})

export const version = z.object({
  model: z.string(),
  version: z.number(),
  digest: sha256,
  state: z.enum(['validating', 'ready', 'invalid', 'deleted']),
  aliases: z.array(z.string()),
  manifest: z.unknown(),
  signature: signature.nullable(),
  /** How it runs best, measured when it was published; null where it was not. */
  tuning: tuning.nullable(),
  report: z.record(z.string(), z.unknown()).nullable(),
  error: z.string().nullable(),
  created_at: timestamp,
  ready_at: timestamp.nullable(),
})

export const model = z.object({
  name: z.string(),
  latest: z.number(),
  aliases: z.record(z.string(), z.number()),
  created_at: timestamp,
})

const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const

export const modelRoutes = [
  route({
    name: 'uploads.create',
    method: 'POST',
    path: '/v1/uploads',
    summary: 'Begin an upload: the digest first, then its parts.',
    body: z.strictObject({ sha256, size: z.number().int().min(0).max(FILE_BYTES_MAX) }),
    reply: upload,
    status: 201,
    idempotent: true,
    policy: { ...control, scope: 'files:write' },
  }),
  route({
    name: 'uploads.get',
    method: 'GET',
    path: '/v1/uploads/:upload_id',
    summary: 'Show which parts have arrived, to resume.',
    reply: upload,
    status: 200,
    policy: { ...control, scope: 'files:write' },
  }),
  route({
    name: 'uploads.part',
    method: 'PUT',
    path: '/v1/uploads/:upload_id/parts/:number',
    summary: 'Store one part; sending it again replaces it.',
    raw: 'application/octet-stream',
    reply: z.object({ number: z.number(), size: z.number(), sha256 }),
    status: 200,
    bodyBytesMax: PART_BYTES_MAX,
    policy: {
      scope: 'files:write',
      limit: 'transfer',
      cache: 'none',
      meter: 'none',
      target: 'blobs',
    },
  }),
  route({
    name: 'uploads.complete',
    method: 'POST',
    path: '/v1/uploads/:upload_id/complete',
    summary:
      'Join the parts and verify size and digest; answers `verifying` where that takes longer than a call may.',
    reply: upload,
    status: 200,
    policy: { ...control, scope: 'files:write' },
  }),
  route({
    name: 'models.publish',
    method: 'POST',
    path: '/v1/registry/models/:model/versions',
    summary: 'Publish a version from uploaded files; answers when it is validated and ready.',
    params: z.object({ model: modelName }),
    body: manifest,
    reply: version,
    status: 201,
    idempotent: true,
    policy: { ...control, scope: 'models:write' },
  }),
  route({
    name: 'models.list',
    method: 'GET',
    path: '/v1/registry/models',
    summary: 'List models.',
    query: pageQuery,
    reply: pageOf(model),
    status: 200,
    policy: { ...control, scope: 'models:read' },
  }),
  route({
    name: 'models.get',
    method: 'GET',
    path: '/v1/registry/models/:model',
    summary: 'Show a model and its aliases.',
    reply: model,
    status: 200,
    policy: { ...control, scope: 'models:read' },
  }),
  route({
    name: 'models.versions',
    method: 'GET',
    path: '/v1/registry/models/:model/versions',
    summary: 'List versions, newest first.',
    query: pageQuery,
    reply: pageOf(version),
    status: 200,
    policy: { ...control, scope: 'models:read' },
  }),
  route({
    name: 'models.version',
    method: 'GET',
    path: '/v1/registry/models/:model/versions/:version',
    summary: 'Show one version, by number or alias.',
    reply: version,
    status: 200,
    policy: { ...control, scope: 'models:read' },
  }),
  route({
    name: 'models.delete',
    method: 'DELETE',
    path: '/v1/registry/models/:model/versions/:version',
    summary: 'Delete a version that no alias and no running job uses.',
    reply: version,
    status: 200,
    policy: { ...control, scope: 'models:write' },
  }),
] as const
