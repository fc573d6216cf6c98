/** Tenants, API keys and the audit log. */
import * as z from 'zod'
import { route, SCOPES } from '#schemas/route.ts'
import { pageOf, pageQuery, timestamp } from './page.ts'

const name = z.string().trim().min(1).max(100)
const scopes = z
  .array(z.enum(SCOPES))
  .min(1)
  .transform(list => [...new Set(list)].sort())
const tags = z
  .record(z.string().regex(/^[a-z][a-z0-9_-]{0,39}$/), z.string().max(100))
  .refine(all => Object.keys(all).length <= 10, { error: 'at most 10 tags' })

export const tenant = z.object({
  id: z.string(),
  name: z.string(),
  plan: z.string(),
  limits: z.object({ runners: z.number().nullable() }),
  created_at: timestamp,
})

export const apiKey = z.object({
  id: z.string(),
  public_id: z.string(),
  name: z.string(),
  scopes: z.array(z.string()),
  project: z.string().nullable(),
  tags: z.record(z.string(), z.string()),
  created_at: timestamp,
  expires_at: timestamp.nullable(),
  revoked_at: timestamp.nullable(),
  rotated_from: z.string().nullable(),
})
/** `key` is the secret itself: shown once, here, and stored nowhere. */
export const issuedKey = apiKey.extend({ key: z.string() })

const keyBody = z.strictObject({
  name,
  scopes,
  project: z.string().min(1).max(100).optional(),
  tags: tags.default({}),
  expires_at: timestamp.optional(),
})

/** More than any pool has. */
const RUNNERS_MAX = 10_000

const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const

export const tenantRoutes = [
  route({
    name: 'tenants.create',
    method: 'POST',
    path: '/v1/tenants',
    summary: 'Create a tenant and its first API key.',
    body: z.strictObject({ name, plan: z.enum(['standard']).default('standard') }),
    reply: z.object({ tenant, key: issuedKey }),
    status: 201,
    idempotent: true,
    secret: true,
    policy: { ...control, scope: 'tenants:write' },
  }),
  route({
    name: 'tenants.list',
    method: 'GET',
    path: '/v1/tenants',
    summary: 'List this tenant and those that it created.',
    query: pageQuery,
    reply: pageOf(tenant),
    status: 200,
    policy: { ...control, scope: 'tenants:read' },
  }),
  route({
    name: 'tenants.get',
    method: 'GET',
    path: '/v1/tenants/:tenant_id',
    summary: 'Show one tenant.',
    reply: tenant,
    status: 200,
    policy: { ...control, scope: 'tenants:read' },
  }),
  route({
    name: 'tenants.limit',
    method: 'PUT',
    path: '/v1/tenants/:tenant_id/limits',
    summary: 'Set how many runners of each class the queued work of a tenant may call for.',
    body: z.strictObject({ runners: z.int().min(1).max(RUNNERS_MAX).nullable() }),
    reply: tenant,
    status: 200,
    policy: { ...control, scope: 'tenants:write' },
  }),
  route({
    name: 'keys.whoami',
    method: 'GET',
    path: '/v1/whoami',
    summary: 'Show the key that asks, and its tenant.',
    reply: z.object({ tenant, key: apiKey }),
    status: 200,
    policy: { ...control, scope: 'any' },
  }),
  route({
    name: 'keys.create',
    method: 'POST',
    path: '/v1/keys',
    summary: 'Create an API key; the reply is the only place that ever shows it.',
    body: keyBody,
    reply: issuedKey,
    status: 201,
    idempotent: true,
    secret: true,
    policy: { ...control, scope: 'keys:write' },
  }),
  route({
    name: 'keys.list',
    method: 'GET',
    path: '/v1/keys',
    summary: 'List API keys, revoked ones included.',
    query: pageQuery,
    reply: pageOf(apiKey),
    status: 200,
    policy: { ...control, scope: 'keys:read' },
  }),
  route({
    name: 'keys.get',
    method: 'GET',
    path: '/v1/keys/:key_id',
    summary: 'Show one API key.',
    reply: apiKey,
    status: 200,
    policy: { ...control, scope: 'keys:read' },
  }),
  route({
    name: 'keys.rotate',
    method: 'POST',
    path: '/v1/keys/:key_id/rotate',
    summary: 'Issue a successor; the old key works on for the overlap.',
    body: z.strictObject({
      overlap_s: z
        .number()
        .int()
        .min(0)
        .max(30 * 86_400)
        .default(86_400),
    }),
    reply: issuedKey,
    status: 201,
    idempotent: true,
    secret: true,
    policy: { ...control, scope: 'keys:write' },
  }),
  route({
    name: 'keys.revoke',
    method: 'DELETE',
    path: '/v1/keys/:key_id',
    summary: 'Revoke an API key; everywhere within ten seconds.',
    reply: apiKey,
    status: 200,
    policy: { ...control, scope: 'keys:write' },
  }),
  route({
    name: 'audit.list',
    method: 'GET',
    path: '/v1/audit',
    summary: 'List who changed what, newest first.',
    query: pageQuery,
    reply: pageOf(
      z.object({
        id: z.string(),
        at: timestamp,
        actor: z.string(),
        action: z.string(),
        target: z.string(),
        request_id: z.string(),
        detail: z.record(z.string(), z.unknown()),
      }),
    ),
    status: 200,
    policy: { ...control, scope: 'audit:read' },
  }),
] as const
