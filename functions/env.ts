/** All configuration of the functions, parsed once. */
import { resolve } from 'node:path'
import * as z from 'zod'

const schema = z.object({
  GALLEY_DATABASE_URL: z.string(),
  GALLEY_SECRET: z.string().min(32),
  GALLEY_BLOBS: z.string().default('blobs'),
  GALLEY_FUNCTIONS_PORT: z.coerce.number().int(),
  GALLEY_OBJECTS_SOCKET: z.string(),
  /** Of the Worker, where that has the objects. */
  GALLEY_FEATURES_URL: z.url().optional(),
  GALLEY_PARTITIONS_PER_OBJECT: z.coerce.number().int().min(1).max(1024),
})

export type FunctionsEnv = {
  databaseUrl: string
  secret: string
  blobsFolder: string
  scratchFolder: string
  port: number
  objectsSocket: string
  featuresUrl: string | null
  partitionsPerObject: number
}

export function readEnv(from: Record<string, string | undefined> = process.env): FunctionsEnv {
  const env = schema.parse(from)
  return {
    databaseUrl: env.GALLEY_DATABASE_URL,
    secret: env.GALLEY_SECRET,
    blobsFolder: env.GALLEY_BLOBS,
    scratchFolder: resolve('scratch', 'functions'),
    port: env.GALLEY_FUNCTIONS_PORT,
    objectsSocket: env.GALLEY_OBJECTS_SOCKET,
    featuresUrl: env.GALLEY_FEATURES_URL ?? null,
    partitionsPerObject: env.GALLEY_PARTITIONS_PER_OBJECT,
  }
}
