/** All configuration of the edge on Workers: bindings, variables and the secret, parsed once per isolate. */
import * as z from 'zod'
import type { TenantObject } from './objects/tenant.ts'

const origin = z.url({ protocol: /^https?$/ }).transform(url => url.replace(/\/+$/, ''))

const variables = z.object({
  /** Where the functions answer, unless a service is bound. */
  FUNCTIONS_URL: origin,
  ROUTER_URL: origin,
  BLOBS_URL: origin,
  /** The edge's own signing key, derived from the deployment's secret; base64url. */
  EDGE_KEY: z.string().min(43),
})

export type WorkerEnv = z.input<typeof variables> & {
  FUNCTIONS?: Fetcher
  TENANTS: DurableObjectNamespace<TenantObject>
  KEYS?: KVNamespace
}
export type EdgeEnv = {
  functionsUrl: string
  routerUrl: string
  blobsUrl: string
  key: string
  functions: Fetcher | null
  tenants: DurableObjectNamespace<TenantObject>
  keys: KVNamespace | null
}

/** Throws with the names of what is missing. */
export function readEnv(env: WorkerEnv): EdgeEnv {
  const { FUNCTIONS_URL, ROUTER_URL, BLOBS_URL, EDGE_KEY } = variables.parse(env)
  if (!env.TENANTS) throw new Error('The Durable Object namespace TENANTS is not bound')
  return {
    functionsUrl: FUNCTIONS_URL,
    routerUrl: ROUTER_URL,
    blobsUrl: BLOBS_URL,
    key: EDGE_KEY,
    functions: env.FUNCTIONS ?? null,
    tenants: env.TENANTS,
    keys: env.KEYS ?? null,
  }
}
