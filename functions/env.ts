/** All configuration of the functions, parsed once. */
import { resolve } from 'node:path'
import * as z from 'zod'
import type { BlobPlace } from '#platform/blob/open.ts'
import { queueUrls } from '#platform/queue/open.ts'
import type { QueueUrls } from '#platform/queue/sqs.ts'
import { type TraceSettings, traceSettings } from '#platform/traces/settings.ts'
import { hardware } from '#schemas/contracts/models.ts'

const schema = z.object({
  GALLEY_DATABASE_URL: z.string(),
  GALLEY_SECRET: z.string().min(32),
  GALLEY_BLOBS: z.string().default('blobs'),
  /** In S3; not given: blobs are in the folder. */
  GALLEY_BUCKET: z.string().min(1).optional(),
  GALLEY_FUNCTIONS_PORT: z.coerce.number().int(),
  GALLEY_OBJECTS_SOCKET: z.string(),
  /** Of the Worker, where that has the objects. */
  GALLEY_FEATURES_URL: z.url().optional(),
  GALLEY_PARTITIONS_PER_OBJECT: z.coerce.number().int().min(1).max(1024),
  /** Classes of hardware of which runners are started when there is work for them, as in "cpu,l4". */
  GALLEY_RUNNER_CLASSES: z
    .string()
    .default('')
    .transform(text => text.split(',').filter(Boolean))
    .pipe(z.array(hardware)),
})

export type FunctionsEnv = {
  databaseUrl: string
  secret: string
  blobs: BlobPlace
  /** Null: the queues are in PostgreSQL. */
  queues: QueueUrls | null
  scratchFolder: string
  port: number
  objectsSocket: string
  featuresUrl: string | null
  partitionsPerObject: number
  suppliedClasses: string[]
  traces: TraceSettings | null
}

export function readEnv(from: Record<string, string | undefined> = process.env): FunctionsEnv {
  const env = schema.parse(from)
  return {
    databaseUrl: env.GALLEY_DATABASE_URL,
    secret: env.GALLEY_SECRET,
    blobs: {
      bucket: env.GALLEY_BUCKET ?? null,
      folder: env.GALLEY_BLOBS,
      cacheFolder: resolve('cache', 'blobs'),
    },
    queues: queueUrls(from),
    scratchFolder: resolve('scratch', 'functions'),
    port: env.GALLEY_FUNCTIONS_PORT,
    objectsSocket: env.GALLEY_OBJECTS_SOCKET,
    featuresUrl: env.GALLEY_FEATURES_URL ?? null,
    partitionsPerObject: env.GALLEY_PARTITIONS_PER_OBJECT,
    suppliedClasses: env.GALLEY_RUNNER_CLASSES,
    traces: traceSettings(from, 'functions'),
  }
}
