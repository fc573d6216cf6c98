/**
 * A route is data: method, path, what goes in and comes out, and its policy. The edge builds its
 * router from these, functions their handlers, and OpenAPI, the SDK's types and the isolation tests
 * come from the same table. A route cannot be written without a policy: the type asks for it.
 */
import type * as z from 'zod'

/** What a key may do. A key never creates one that may do more. */
export const SCOPES = [
  'tenants:read',
  'tenants:write',
  'keys:read',
  'keys:write',
  'audit:read',
  'metrics:read',
  'models:read',
  'models:write',
  'infer',
  'inferences:read',
  'jobs:read',
  'jobs:write',
  'files:write',
  'usage:read',
  'events:write',
  'events:read',
  'events:manage',
  'features:write',
  'features:read',
  'decisions:write',
  'decisions:read',
  'decide',
] as const
export type Scope = (typeof SCOPES)[number]

/** Rate limits by name; a plan gives each its numbers. `lookup` is for names that the edge must ask for. */
export const LIMITS = ['control', 'inference', 'transfer', 'lookup', 'events', 'features'] as const
export type LimitName = (typeof LIMITS)[number]

export type Policy = {
  /**
   * `public` needs no key; `any` needs one, whatever it may do. `signed` needs the sender's signature
   * instead, which the route's own answer verifies before it does anything for a tenant.
   */
  scope: Scope | 'public' | 'any' | 'signed'
  /** The limit that a request is counted against; null: none. */
  limit: LimitName | null
  /** How the edge may cache the reply. Nothing is cached yet but health. */
  cache: 'none'
  /** Which kind of receipt the work leaves. */
  meter: 'none' | 'inference'
  /** The place that answers. */
  target: 'edge' | 'functions' | 'router' | 'blobs'
}

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

export type Route = {
  name: string
  method: Method
  /** Hono form: `/v1/keys/:key_id`. */
  path: string
  summary: string
  /** Forms of those parameters of the path that name something new; the others are looked up as they are. */
  params?: z.ZodObject
  query?: z.ZodObject
  /** JSON body. A route without one takes none, unless `raw` says which bytes it takes. */
  body?: z.ZodType
  raw?: string
  /** JSON reply of success; absent where the reply is not JSON. */
  reply?: z.ZodType
  status: 200 | 201 | 202
  /** Takes an Idempotency-Key: the reply is stored with what it created. */
  idempotent?: boolean
  /** The reply holds a secret: stored only encrypted under the caller's own key. */
  secret?: boolean
  bodyBytesMax: number
  /** Which error form the route speaks. */
  errors: 'problem' | 'oip' | 'feast' | 'openai'
  policy: Policy
}

const CONTROL_BODY_BYTES_MAX = 1 << 20

/** Declares a route; body size and error form default to those of the control API. */
export function route<const R extends Omit<Route, 'bodyBytesMax' | 'errors'> & Partial<Route>>(
  spec: R,
): R & Pick<Route, 'bodyBytesMax' | 'errors'> {
  return { bodyBytesMax: CONTROL_BODY_BYTES_MAX, errors: 'problem', ...spec }
}
