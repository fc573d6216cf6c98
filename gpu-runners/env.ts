/** All configuration of a runner, parsed once. */
import { resolve } from 'node:path'
import * as z from 'zod'

const schema = z.object({
  GALLEY_RUNNER: z.string().regex(/^[a-z0-9-]{1,63}$/),
  /** The runner's own signing key: the one secret that it holds. */
  GALLEY_RUNNER_KEY: z.string().min(32),
  GALLEY_FUNCTIONS_PORT: z.coerce.number().int(),
  GALLEY_ROUTER_SOCKET: z.string(),
  GALLEY_BLOBS: z.string().default('blobs'),
})

export type RunnerEnv = {
  name: string
  key: string
  functionsUrl: string
  routerSocket: string
  blobsFolder: string
  receiptsFolder: string
  scratchFolder: string
}

export function readEnv(from: Record<string, string | undefined> = process.env): RunnerEnv {
  const env = schema.parse(from)
  return {
    name: env.GALLEY_RUNNER,
    key: env.GALLEY_RUNNER_KEY,
    functionsUrl: `http://127.0.0.1:${env.GALLEY_FUNCTIONS_PORT}`,
    routerSocket: env.GALLEY_ROUTER_SOCKET,
    blobsFolder: env.GALLEY_BLOBS,
    receiptsFolder: `receipts/${env.GALLEY_RUNNER}`,
    // Engine processes have a working directory of their own: the path must be absolute.
    scratchFolder: resolve('scratch', env.GALLEY_RUNNER),
  }
}
