/** What the platform says of itself. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'

const open = { scope: 'public', limit: null, cache: 'none', meter: 'none', target: 'edge' } as const

export const platformRoutes = [
  route({
    name: 'health.live',
    method: 'GET',
    path: '/health/live',
    summary: 'Whether the edge runs.',
    reply: z.object({ live: z.boolean() }),
    status: 200,
    policy: open,
  }),
  route({
    name: 'health.ready',
    method: 'GET',
    path: '/health/ready',
    summary: 'Whether work can be done: functions and a runner answer.',
    reply: z.object({ ready: z.boolean() }),
    status: 200,
    policy: open,
  }),
  route({
    name: 'docs.errors',
    method: 'GET',
    path: '/docs/errors',
    summary: 'Every error code, as a page; problem types point here.',
    status: 200,
    policy: open,
  }),
  route({
    name: 'metrics',
    method: 'GET',
    path: '/metrics',
    summary: 'Measures of all processes, in the text form of Prometheus; for the operator.',
    status: 200,
    policy: { ...open, scope: 'metrics:read', limit: 'control' },
  }),
  route({
    name: 'openapi',
    method: 'GET',
    path: '/openapi.json',
    summary: 'This API as OpenAPI 3.1.',
    status: 200,
    policy: open,
  }),
] as const
