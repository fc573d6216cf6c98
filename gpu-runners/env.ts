/** All configuration of a runner, parsed once. */
import { hostname, totalmem } from 'node:os'
import { resolve } from 'node:path'
import * as z from 'zod'
import type { BlobPlace } from '#platform/blob/open.ts'
import { queueUrls } from '#platform/queue/open.ts'
import type { QueueUrls } from '#platform/queue/sqs.ts'
import { type TraceSettings, traceSettings } from '#platform/traces/settings.ts'
import { hardware } from '#schemas/contracts/models.ts'
import { PROVIDERS, type Provider } from './engines/providers.ts'

const schema = z
  .object({
    /** Its name; after the machine or container if not given. */
    GALLEY_RUNNER: z
      .string()
      .regex(/^[a-z0-9-]{1,63}$/)
      .optional(),
    /** Where the platform asks for its health; not given: it is asked nothing. */
    GALLEY_HEALTH_PORT: z.coerce.number().int().min(1).max(65_535).optional(),
    /** The runner's own signing key: the one secret that it holds. */
    GALLEY_RUNNER_KEY: z.string().min(32),
    /** Where the functions are, on another machine (`lambda://name` by Lambda itself); on this one their port is enough. */
    GALLEY_FUNCTIONS_URL: z.url().optional(),
    GALLEY_FUNCTIONS_PORT: z.coerce.number().int().optional(),
    /** The path of a socket, or host and port, of which the host may stand for several routers. */
    GALLEY_ROUTER: z.string(),
    GALLEY_BLOBS: z.string().default('blobs'),
    /** In S3; not given: blobs are in the folder. */
    GALLEY_BUCKET: z.string().min(1).optional(),
    /** The class of this machine: versions may ask for one, and what was measured on one holds on its like. */
    GALLEY_HARDWARE: hardware.optional(),
    /** It is there for what asks for its class, and for nothing else: a machine that is dear. */
    GALLEY_DEDICATED: z
      .stringbool({ truthy: ['true'], falsy: ['false'], case: 'sensitive' })
      .default(false),
    /** Execution providers in the order in which they are tried, as in "tensorrt,cuda". */
    GALLEY_PROVIDERS: z
      .string()
      .default('cpu')
      .transform(text => text.split(','))
      .pipe(z.array(z.enum(PROVIDERS)).min(1)),
    /** What the models in memory may hold together; half of the machine's or container's if not given. */
    GALLEY_MODEL_MEMORY_MB: z.coerce.number().int().min(256).optional(),
    /** From the word to stop until somebody kills it: the supervisor's grace, or the platform's. */
    GALLEY_STOP_S: z.coerce.number().min(1).max(3_600).default(9),
    /** Where a spot machine learns that it is taken back; not given: it is none. */
    AWS_EC2_METADATA_SERVICE_ENDPOINT: z.url().optional(),
    /** Set by ECS in its containers. */
    ECS_AGENT_URI: z.url().optional(),
  })
  .refine(env => env.GALLEY_FUNCTIONS_URL ?? env.GALLEY_FUNCTIONS_PORT, {
    message:
      'Say where the functions are: GALLEY_FUNCTIONS_URL, or GALLEY_FUNCTIONS_PORT on this machine.',
  })

/** A machine is of the class that its first provider is, where nobody named it. */
export function classOf({ GALLEY_HARDWARE, GALLEY_PROVIDERS }: Record<string, string | undefined>) {
  return GALLEY_HARDWARE ?? GALLEY_PROVIDERS?.split(',')[0] ?? 'cpu'
}

export type RunnerEnv = {
  name: string
  healthPort: number | null
  key: string
  functionsUrl: string
  router: string
  blobs: BlobPlace
  /** Null: the queues are behind the functions. */
  queues: QueueUrls | null
  receiptsFolder: string
  scratchFolder: string
  hardware: string
  /** What asks for no class is left to others. */
  isDedicated: boolean
  providers: Provider[]
  modelMemoryBytes: number
  traces: TraceSettings | null
  stopMs: number
  /** Of the instance metadata service; null: no notices are asked for. */
  metadataUrl: string | null
  /** Of ECS's agent; null: nothing scales this runner in. */
  ecsAgentUrl: string | null
}

export function readEnv(from: Record<string, string | undefined> = process.env): RunnerEnv {
  const env = schema.parse(from)
  const name = env.GALLEY_RUNNER ?? nameOf(hostname())
  return {
    name,
    healthPort: env.GALLEY_HEALTH_PORT ?? null,
    key: env.GALLEY_RUNNER_KEY,
    functionsUrl: env.GALLEY_FUNCTIONS_URL ?? `http://127.0.0.1:${env.GALLEY_FUNCTIONS_PORT}`,
    router: env.GALLEY_ROUTER,
    blobs: {
      bucket: env.GALLEY_BUCKET ?? null,
      folder: env.GALLEY_BLOBS,
      cacheFolder: resolve('cache', 'blobs'),
    },
    queues: queueUrls(from),
    receiptsFolder: `receipts/${name}`,
    // Engine processes have a working directory of their own: the path must be absolute.
    scratchFolder: resolve('scratch', name),
    hardware: classOf(from),
    isDedicated: env.GALLEY_DEDICATED,
    providers: env.GALLEY_PROVIDERS,
    modelMemoryBytes: env.GALLEY_MODEL_MEMORY_MB
      ? env.GALLEY_MODEL_MEMORY_MB * 2 ** 20
      : memoryBytes() / 2,
    traces: traceSettings(from, 'runner'),
    stopMs: env.GALLEY_STOP_S * 1000,
    metadataUrl: env.AWS_EC2_METADATA_SERVICE_ENDPOINT ?? null,
    ecsAgentUrl: env.ECS_AGENT_URI ?? null,
  }
}

/** The same again after a restart in place, so that what it left is found. */
function nameOf(host: string): string {
  const slug = host.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  return `runner-${slug}`.slice(0, 63)
}

/** What this process may use: a container's limit where there is one. */
function memoryBytes(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)
}
