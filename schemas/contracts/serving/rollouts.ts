/** How a version comes to serve: switches, canaries, shadows, and the way back. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'
import { alias, model } from '../models.ts'
import { pageOf, pageQuery, timestamp } from '../page.ts'

const count = z.number().nullable()
const share = z.number().min(0).max(1)

export const switchRow = z.object({
  id: z.string(),
  at: timestamp,
  alias: z.string(),
  kind: z.enum(['flip', 'remove', 'canary', 'shadow', 'promote', 'rollback']),
  from: z.number().nullable(),
  to: z.number().nullable(),
  outcome: z.enum(['done', 'refused']),
  reason: z.string().nullable(),
  actor: z.string(),
  answered_from: count,
  answered_to: count,
  dropped: count,
  mixed: count,
})
export const switched = model.extend({ switch: switchRow })

const tolerance = z.strictObject({
  absolute: z.number().min(0).default(1e-5),
  relative: z.number().min(0).default(1e-4),
})
const guard = z.strictObject({
  requests_min: z.number().int().min(1).max(1_000_000).default(100),
  errors_max: share.nullable().default(0.02),
  latency_ratio_max: z.number().min(1).max(100).nullable().default(2),
  shift_max: z.number().positive().max(1_000).nullable().default(0.5),
  rows_differing_max: share.nullable().default(null),
})
const mode = z.enum(['canary', 'shadow'])
const percent = z.number().min(0).max(100)

const side = z.object({
  requests: z.number(),
  errors: z.number(),
  p50_ms: count,
  p95_ms: count,
  compute_us_mean: count,
  outputs: z.record(
    z.string(),
    z.object({ mean: count, deviation: count, not_finite: z.number() }),
  ),
})
export const rollout = z.object({
  id: z.string(),
  model: z.string(),
  alias: z.string(),
  mode,
  from: z.number(),
  version: z.number(),
  percent: z.number(),
  tolerance: z.object({ absolute: z.number(), relative: z.number() }),
  guard: z.object({
    requests_min: z.number(),
    errors_max: count,
    latency_ratio_max: count,
    shift_max: count,
    rows_differing_max: count,
  }),
  state: z.enum(['running', 'promoted', 'rolled_back', 'replaced']),
  reason: z.string().nullable(),
  report: z.object({
    stable: side,
    candidate: side,
    shift: z.record(z.string(), z.number()),
    compared: z.object({
      requests: z.number(),
      rows: z.number(),
      rows_differing: z.number(),
      share_differing: count,
      tensors: z.record(
        z.string(),
        z.object({ max_abs_diff: z.number(), rows_differing: z.number() }),
      ),
    }),
    skipped: z.number(),
  }),
  created_at: timestamp,
  ended_at: timestamp.nullable(),
})

const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const
const read = { ...control, scope: 'models:read' } as const
const write = { ...control, scope: 'models:write' } as const

export const rolloutRoutes = [
  route({
    name: 'models.alias',
    method: 'PUT',
    path: '/v1/registry/models/:model/aliases/:alias',
    summary: 'Point an alias at a ready version, which is warm before it serves.',
    params: z.object({ alias }),
    body: z.strictObject({ version: z.number().int().min(1) }),
    reply: switched,
    status: 200,
    policy: write,
  }),
  route({
    name: 'models.unalias',
    method: 'DELETE',
    path: '/v1/registry/models/:model/aliases/:alias',
    summary: 'Remove an alias.',
    reply: model,
    status: 200,
    policy: write,
  }),
  route({
    name: 'models.switches',
    method: 'GET',
    path: '/v1/registry/models/:model/switches',
    summary: 'List what served when, newest first: switches that were made and that were refused.',
    query: pageQuery,
    reply: pageOf(switchRow),
    status: 200,
    policy: read,
  }),
  route({
    name: 'models.rollout',
    method: 'PUT',
    path: '/v1/registry/models/:model/rollout',
    summary: 'Try a version beside the one that an alias names; again to change the share.',
    body: z.strictObject({
      version: z.number().int().min(1),
      alias: alias.default('champion'),
      mode: mode.default('canary'),
      percent: percent.default(10),
      tolerance: tolerance.prefault({}),
      guard: guard.prefault({}),
    }),
    reply: rollout,
    status: 200,
    policy: write,
  }),
  route({
    name: 'models.rollout_report',
    method: 'GET',
    path: '/v1/registry/models/:model/rollout',
    summary: 'Show the rollout that runs, or the last one, with what was seen.',
    reply: rollout,
    status: 200,
    policy: read,
  }),
  route({
    name: 'models.promote',
    method: 'POST',
    path: '/v1/registry/models/:model/promote',
    summary: 'Let the candidate of the running rollout serve.',
    reply: switched,
    status: 200,
    policy: write,
  }),
  route({
    name: 'models.rollback',
    method: 'POST',
    path: '/v1/registry/models/:model/rollback',
    summary: 'End the running rollout; without one, let the version before serve again.',
    body: z.strictObject({ alias: alias.default('champion') }),
    reply: switched,
    status: 200,
    policy: write,
  }),
] as const
