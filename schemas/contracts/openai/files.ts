/** Files of batches, in the form of OpenAI. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'
import { listOf } from './listed.ts'

export const BATCH_FILE_BYTES_MAX = 200 * 1024 ** 2
/** What stands around the file in a form. */
const FORM_BYTES_MAX = 65_536

const openai = { errors: 'openai', status: 200 } as const
const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const

const file = z.object({
  id: z.string(),
  object: z.literal('file'),
  bytes: z.number(),
  /** Seconds since 1970. */
  created_at: z.number(),
  expires_at: z.number().nullable(),
  filename: z.string(),
  purpose: z.enum(['batch', 'batch_output']),
  status: z.literal('processed'),
})

export const fileRoutes = [
  route({
    name: 'openai.create_file',
    method: 'POST',
    path: '/v1/files',
    summary: 'Store a file of requests for a batch.',
    raw: 'multipart/form-data with purpose ("batch") and file',
    reply: file,
    ...openai,
    bodyBytesMax: BATCH_FILE_BYTES_MAX + FORM_BYTES_MAX,
    policy: { ...control, scope: 'jobs:write', limit: 'transfer', target: 'blobs' },
  }),
  route({
    name: 'openai.files',
    method: 'GET',
    path: '/v1/files',
    summary: 'List files of batches, the newest first.',
    query: z.object({
      purpose: z.string().max(40).optional(),
      limit: z.coerce.number().int().min(1).max(10_000).default(10_000),
      order: z.enum(['asc', 'desc']).default('desc'),
      after: z.string().max(100).optional(),
    }),
    reply: listOf(file),
    ...openai,
    policy: { ...control, scope: 'jobs:read' },
  }),
  route({
    name: 'openai.file',
    method: 'GET',
    path: '/v1/files/:file_id',
    summary: 'Show a file of a batch.',
    reply: file,
    ...openai,
    policy: { ...control, scope: 'jobs:read' },
  }),
  route({
    name: 'openai.delete_file',
    method: 'DELETE',
    path: '/v1/files/:file_id',
    summary: 'Delete a file that no running batch reads.',
    reply: z.object({ id: z.string(), object: z.literal('file'), deleted: z.literal(true) }),
    ...openai,
    policy: { ...control, scope: 'jobs:write' },
  }),
  route({
    name: 'openai.file_content',
    method: 'GET',
    path: '/v1/files/:file_id/content',
    summary: 'The bytes of a file. Takes Range.',
    ...openai,
    policy: { ...control, scope: 'jobs:read', limit: 'transfer', target: 'blobs' },
  }),
] as const
