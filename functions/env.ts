/** All configuration of the functions, parsed once. */
import * as z from 'zod'

const schema = z.object({
  GALLEY_DATABASE_URL: z.string(),
  GALLEY_SECRET: z.string().min(32),
  GALLEY_BLOBS: z.string().default('blobs'),
  GALLEY_FUNCTIONS_PORT: z.coerce.number().int(),
})

export type FunctionsEnv = {
  databaseUrl: string
  secret: string
  blobsFolder: string
  port: number
}

export function readEnv(from: Record<string, string | undefined> = process.env): FunctionsEnv {
  const env = schema.parse(from)
  return {
    databaseUrl: env.GALLEY_DATABASE_URL,
    secret: env.GALLEY_SECRET,
    blobsFolder: env.GALLEY_BLOBS,
    port: env.GALLEY_FUNCTIONS_PORT,
  }
}
