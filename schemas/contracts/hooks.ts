/** Webhooks that come in: sources declared by a tenant, and the address to which their senders post. */
import * as z from 'zod'
import { HOOK_SCHEMES } from '#schemas/hook.ts'
import { route } from '#schemas/route.ts'
import { pageOf, pageQuery, timestamp } from './page.ts'

export const HOOK_BODY_BYTES_MAX = 4 * 1024 ** 2
export const HOOK_SECRETS_MAX = 5
const KINDS_MAX = 200

const name = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,62}$/, { error: 'a name of small letters, digits, _ and -' })
const pointer = z
  .string()
  .max(500)
  .regex(/^(\/([^~/]|~[01])*)*$/, {
    error: 'a JSON pointer (RFC 6901), such as /data/object/amount',
  })
const secret = z.string().min(8).max(1_000)

const rule = z.strictObject({
  /** The event type here. */
  type: z.string(),
  /** Field of its contract → a pointer into the body. */
  fields: z.record(z.string(), pointer).optional(),
  /** A pointer to the object whose members are taken by the contract's names. */
  data: pointer.optional(),
  /** A pointer to when it happened: RFC 3339, or Unix seconds. */
  time: pointer.optional(),
  /** A pointer to the event's id, instead of the one that the scheme gives. */
  id: pointer.optional(),
})

export const hookSourceBody = z.strictObject({
  scheme: z.enum(HOOK_SCHEMES),
  /** The sender's kind of event, or `*` for all others. What no rule takes is acknowledged and dropped. */
  events: z.record(z.string().min(1).max(200), rule).refine(
    events => {
      const count = Object.keys(events).length
      return count >= 1 && count <= KINDS_MAX
    },
    { error: `1 to ${KINDS_MAX} kinds of events` },
  ),
  /** How far the signed time may be from ours. */
  tolerance_s: z.number().int().min(1).max(3_600).default(300),
  /** By name. Without: those that the source has stay. They are shown nowhere. */
  secrets: z.record(name, secret).optional(),
})
export type HookSourceDefinition = z.output<typeof hookSourceBody>

export const hookSource = z.object({
  name: z.string(),
  /** Where the sender posts to, under the address of this API. */
  path: z.string(),
  scheme: z.enum(HOOK_SCHEMES),
  events: z.record(z.string(), rule),
  tolerance_s: z.number(),
  secrets: z.array(z.object({ name: z.string(), added_at: timestamp })),
  created_at: timestamp,
  changed_at: timestamp,
})

const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const
const reads = { ...control, scope: 'events:read' } as const
const manages = { ...control, scope: 'events:manage' } as const

export const hookRoutes = [
  route({
    name: 'hooks.declare',
    method: 'PUT',
    path: '/v1/hook-sources/:source',
    summary: 'Declare a source of signed webhooks, or change it.',
    params: z.object({ source: name }),
    body: hookSourceBody,
    reply: hookSource,
    status: 200,
    policy: manages,
  }),
  route({
    name: 'hooks.list',
    method: 'GET',
    path: '/v1/hook-sources',
    summary: 'List the sources of signed webhooks.',
    query: pageQuery,
    reply: pageOf(hookSource),
    status: 200,
    policy: reads,
  }),
  route({
    name: 'hooks.get',
    method: 'GET',
    path: '/v1/hook-sources/:source',
    summary: 'Show a source of signed webhooks.',
    reply: hookSource,
    status: 200,
    policy: reads,
  }),
  route({
    name: 'hooks.remove',
    method: 'DELETE',
    path: '/v1/hook-sources/:source',
    summary: 'Remove a source; its address answers nobody from then on.',
    reply: hookSource,
    status: 200,
    policy: manages,
  }),
  route({
    name: 'hooks.add_secret',
    method: 'PUT',
    path: '/v1/hook-sources/:source/secrets/:secret_name',
    summary: 'Take signatures by one more secret, beside those that there are.',
    params: z.object({ source: name, secret_name: name }),
    body: z.strictObject({ secret }),
    reply: hookSource,
    status: 200,
    policy: manages,
  }),
  route({
    name: 'hooks.remove_secret',
    method: 'DELETE',
    path: '/v1/hook-sources/:source/secrets/:secret_name',
    summary: 'Take no more signatures by this secret; everywhere within ten seconds.',
    reply: hookSource,
    status: 200,
    policy: manages,
  }),
  route({
    name: 'hooks.receive',
    method: 'POST',
    path: '/v1/hooks/:source',
    summary: 'Take a webhook as an event: durable when it answers. Its signature is its key.',
    raw: 'the body as it was signed',
    reply: z.object({
      accepted: z.number(),
      /** Why it was dropped, if it was. */
      ignored: z.string().optional(),
    }),
    status: 202,
    bodyBytesMax: HOOK_BODY_BYTES_MAX,
    policy: { limit: 'events', cache: 'none', meter: 'none', target: 'edge', scope: 'signed' },
  }),
] as const
