/** What the places of one machine are told by their supervisor. */
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import * as z from 'zod'
import type { BlobPlace } from '#platform/blob/open.ts'
import { type TraceSettings, traceSettings, VARIABLES } from '#platform/traces/settings.ts'

const port = z.coerce.number().int().min(1).max(65_535)
const edge = z.object({
  GALLEY_HOST: z.string(),
  GALLEY_PORT: port,
  GALLEY_GRPC_PORT: port,
  GALLEY_EDGE_KEY: z.string().min(32),
  GALLEY_RUNNER_KEY: z.string().min(32),
  GALLEY_FUNCTIONS_PORT: port,
  GALLEY_OBJECTS_SOCKET: z.string(),
  GALLEY_PARTITIONS_PER_OBJECT: z.coerce.number().int().min(1).max(1024),
  /** Where it listens for runners. */
  GALLEY_ROUTER: z.string(),
  GALLEY_BLOBS: z.string().default('blobs'),
  /** In S3; not given: blobs are in the folder. */
  GALLEY_BUCKET: z.string().min(1).optional(),
})

export type EdgeEnv = {
  host: string
  port: number
  grpcPort: number
  key: string
  /** To know the runners that dial the router inside this process. */
  runnerKey: string
  functionsUrl: string
  objectsSocket: string
  partitionsPerObject: number
  router: string
  blobs: BlobPlace
  /** Of answers that the edge gave by itself. */
  receiptsFolder: string
  traces: TraceSettings | null
}

export function readEdgeEnv(from: Record<string, string | undefined> = process.env): EdgeEnv {
  const env = edge.parse(from)
  return {
    host: env.GALLEY_HOST,
    port: env.GALLEY_PORT,
    grpcPort: env.GALLEY_GRPC_PORT,
    key: env.GALLEY_EDGE_KEY,
    runnerKey: env.GALLEY_RUNNER_KEY,
    functionsUrl: `http://127.0.0.1:${env.GALLEY_FUNCTIONS_PORT}`,
    objectsSocket: env.GALLEY_OBJECTS_SOCKET,
    partitionsPerObject: env.GALLEY_PARTITIONS_PER_OBJECT,
    router: env.GALLEY_ROUTER,
    blobs: {
      bucket: env.GALLEY_BUCKET ?? null,
      folder: env.GALLEY_BLOBS,
      cacheFolder: resolve('cache', 'blobs'),
    },
    receiptsFolder: 'receipts/edge',
    traces: traceSettings(from, 'edge'),
  }
}

const objects = z.object({
  GALLEY_OBJECTS_SOCKET: z.string(),
  GALLEY_EDGE_KEY: z.string().min(32),
  GALLEY_FUNCTIONS_KEY: z.string().min(32),
  GALLEY_FUNCTIONS_PORT: port,
})

export function readObjectsEnv(from: Record<string, string | undefined> = process.env) {
  const env = objects.parse(from)
  return {
    socket: env.GALLEY_OBJECTS_SOCKET,
    edgeKey: env.GALLEY_EDGE_KEY,
    functionsKey: env.GALLEY_FUNCTIONS_KEY,
    functionsUrl: `http://127.0.0.1:${env.GALLEY_FUNCTIONS_PORT}`,
    folder: 'objects',
  }
}

const router = z
  .object({
    /** Where it speaks gRPC; without a port it speaks none. */
    GALLEY_HOST: z.string().default('127.0.0.1'),
    GALLEY_GRPC_PORT: port.optional(),
    /** Where the tenants' objects are: in the Worker. */
    GALLEY_FEATURES_URL: z.url(),
    GALLEY_EDGE_KEY: z.string().min(32),
    GALLEY_RUNNER_KEY: z.string().min(32),
    /** Where the functions are, on another machine; on this one their port is enough. */
    GALLEY_FUNCTIONS_URL: z.url().optional(),
    GALLEY_FUNCTIONS_PORT: port.optional(),
    /** Where Workers ask it. */
    GALLEY_ROUTER_HOST: z.string().default('127.0.0.1'),
    GALLEY_ROUTER_PORT: port,
    /** Where it listens for runners: a socket or an address, or a port on every address of a container. */
    GALLEY_ROUTER: z.string().optional(),
    GALLEY_CHANNEL_PORT: port.optional(),
  })
  .refine(env => env.GALLEY_FUNCTIONS_URL ?? env.GALLEY_FUNCTIONS_PORT, {
    message:
      'Say where the functions are: GALLEY_FUNCTIONS_URL, or GALLEY_FUNCTIONS_PORT on this machine.',
  })
  .refine(env => env.GALLEY_ROUTER ?? env.GALLEY_CHANNEL_PORT, {
    message:
      'Say where to listen for runners: GALLEY_ROUTER, or GALLEY_CHANNEL_PORT in a container.',
  })

export function readRouterEnv(from: Record<string, string | undefined> = process.env) {
  const env = router.parse(from)
  return {
    traces: traceSettings(from, 'router'),
    // In a container it is one of several behind a balancer.
    instance: env.GALLEY_CHANNEL_PORT ? hostname() : null,
    grpc: env.GALLEY_GRPC_PORT ? { host: env.GALLEY_HOST, port: env.GALLEY_GRPC_PORT } : null,
    objectsUrl: env.GALLEY_FEATURES_URL,
    host: env.GALLEY_ROUTER_HOST,
    port: env.GALLEY_ROUTER_PORT,
    channel: env.GALLEY_ROUTER ?? `0.0.0.0:${env.GALLEY_CHANNEL_PORT}`,
    edgeKey: env.GALLEY_EDGE_KEY,
    runnerKey: env.GALLEY_RUNNER_KEY,
    functionsUrl: env.GALLEY_FUNCTIONS_URL ?? `http://127.0.0.1:${env.GALLEY_FUNCTIONS_PORT}`,
  }
}

const workerd = z.object({
  GALLEY_HOST: z.string(),
  GALLEY_PORT: port,
  GALLEY_EDGE_KEY: z.string().min(32),
  GALLEY_FUNCTIONS_KEY: z.string().min(32),
  GALLEY_PARTITIONS_PER_OBJECT: z.string(),
  GALLEY_FUNCTIONS_PORT: port,
  GALLEY_ROUTER_PORT: port,
  GALLEY_BUCKET: z.string().min(1).optional(),
})

export function readWorkerdEnv(from: Record<string, string | undefined> = process.env) {
  const env = workerd.parse(from)
  const functionsUrl = `http://127.0.0.1:${env.GALLEY_FUNCTIONS_PORT}`
  return {
    host: env.GALLEY_HOST,
    port: env.GALLEY_PORT,
    bindings: {
      FUNCTIONS_URL: functionsUrl,
      ROUTER_URL: `http://127.0.0.1:${env.GALLEY_ROUTER_PORT}`,
      // What is in S3 the edge reads and writes there itself.
      ...(env.GALLEY_BUCKET === undefined && { BLOBS_URL: functionsUrl }),
      EDGE_KEY: env.GALLEY_EDGE_KEY,
      FUNCTIONS_KEY: env.GALLEY_FUNCTIONS_KEY,
      PARTITIONS_PER_OBJECT: env.GALLEY_PARTITIONS_PER_OBJECT,
      ...tracesIn(from),
    },
    objectsFolder: 'objects-workerd',
    temporaryFolder: 'run/workerd',
    bundleFolder: 'cache/edge',
  }
}

/** Said to the Worker as they are said to places; read once here, so that what is malformed ends the start. */
function tracesIn(from: Record<string, string | undefined>): Record<string, string> {
  traceSettings(from, 'edge')
  const said = VARIABLES.filter(name => from[name]).map(name => [name, from[name]!])
  return Object.fromEntries(said)
}
