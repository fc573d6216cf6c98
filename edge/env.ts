/** All configuration of the edge on Workers: bindings, variables and the secret, parsed once per isolate. */
import * as z from 'zod'
import { type TraceSettings, type TraceVariable, traceSettings } from '#platform/traces/settings.ts'
import type { FeaturesObject } from './objects/features.ts'
import type { TenantObject } from './objects/tenant.ts'

const origin = z.url({ protocol: /^https?$/ }).transform(url => url.replace(/\/+$/, ''))

const variables = z.object({
  /** Where the functions answer, unless a service is bound. */
  FUNCTIONS_URL: origin,
  ROUTER_URL: origin,
  /** Where blobs answer; not given: they are in S3, by requests that the functions sign. */
  BLOBS_URL: origin.optional(),
  /** The edge's own signing key, derived from the deployment's secret; base64url. */
  EDGE_KEY: z.string().min(43),
  /** The functions' key, by which their calls of objects are known; base64url. */
  FUNCTIONS_KEY: z.string().min(43),
  /** Of a tenant's 1,024; it never changes once there is data. */
  PARTITIONS_PER_OBJECT: z.coerce.number().int().min(1).max(1024),
})

export type WorkerEnv = z.input<typeof variables> & {
  /** OpenTelemetry's own names. Those of headers are secrets. */
  [name in TraceVariable]?: string
} & {
  FUNCTIONS?: Fetcher
  TENANTS: DurableObjectNamespace<TenantObject>
  FEATURES: DurableObjectNamespace<FeaturesObject>
  KEYS?: KVNamespace
}
export type EdgeEnv = {
  functionsUrl: string
  routerUrl: string
  blobsUrl: string | null
  key: string
  functionsKey: string
  partitionsPerObject: number
  functions: Fetcher | null
  tenants: DurableObjectNamespace<TenantObject>
  features: DurableObjectNamespace<FeaturesObject>
  keys: KVNamespace | null
  traces: TraceSettings | null
}

/** Throws with the names of what is missing. */
export function readEnv(env: WorkerEnv): EdgeEnv {
  const parsed = variables.parse(env)
  for (const name of ['TENANTS', 'FEATURES'] as const) {
    if (!env[name]) throw new Error(`The Durable Object namespace ${name} is not bound`)
  }
  return {
    functionsUrl: parsed.FUNCTIONS_URL,
    routerUrl: parsed.ROUTER_URL,
    blobsUrl: parsed.BLOBS_URL ?? null,
    key: parsed.EDGE_KEY,
    functionsKey: parsed.FUNCTIONS_KEY,
    partitionsPerObject: parsed.PARTITIONS_PER_OBJECT,
    functions: env.FUNCTIONS ?? null,
    tenants: env.TENANTS,
    features: env.FEATURES,
    keys: env.KEYS ?? null,
    traces: traceSettings(env, 'edge'),
  }
}

/** The functions, by their binding or over the network. */
export function functionsOf(env: EdgeEnv): { fetch(request: Request): Promise<Response> } {
  const { functions, functionsUrl } = env
  if (functions) return { fetch: request => functions.fetch(request) }
  return {
    fetch(request) {
      const { pathname, search } = new URL(request.url)
      return fetch(new Request(functionsUrl + pathname + search, request))
    },
  }
}
