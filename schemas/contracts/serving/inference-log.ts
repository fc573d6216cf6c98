/** The inference log: what a model was asked and answered, as far as its tenant keeps it. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'
import { pageOf, pageQuery, timestamp } from '../page.ts'

/** By name: `{datatype, shape, data}`; see docs/design/inference-log.md. */
const tensors = z.record(z.string(), z.unknown())

const inference = z.object({
  /** Of the request. */
  id: z.string(),
  model: z.string(),
  version: z.number(),
  digest: z.string(),
  at: timestamp,
  key: z.string(),
  receipt: z.string(),
  features: z.string().nullable(),
  subject: z.object({ entity: z.string(), key: z.string() }).nullable(),
  rows: z.number(),
  inputs: tensors,
  outputs: tensors,
})

const segment = z.object({
  id: z.string(),
  model: z.string(),
  hour: timestamp,
  sha256: z.string(),
  bytes: z.number(),
  rows: z.number(),
  expires_at: timestamp,
  sealed_at: timestamp,
})

const reads = { scope: 'inferences:read', cache: 'none', meter: 'none' } as const

export const inferenceLogRoutes = [
  route({
    name: 'inferences.list',
    method: 'GET',
    path: '/v1/registry/models/:model/inferences',
    summary: 'List what was logged and is in no segment yet, the newest first.',
    query: pageQuery,
    reply: pageOf(inference),
    status: 200,
    policy: { ...reads, limit: 'control', target: 'functions' },
  }),
  route({
    name: 'inferences.segments',
    method: 'GET',
    path: '/v1/registry/models/:model/inferences/segments',
    summary: 'List the Parquet files into which the inference log of a model was sealed.',
    query: pageQuery,
    reply: pageOf(segment),
    status: 200,
    policy: { ...reads, limit: 'control', target: 'functions' },
  }),
  route({
    name: 'inferences.segment_content',
    method: 'GET',
    path: '/v1/registry/models/:model/inferences/segments/:segment_id/content',
    summary: 'Read a segment of the inference log, as Parquet.',
    status: 200,
    policy: { ...reads, limit: 'transfer', target: 'blobs' },
  }),
] as const
