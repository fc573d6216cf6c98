/** Usage totals and the receipts that they are made of. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'
import { pageOf, pageQuery, timestamp } from './page.ts'

export const GROUPS = ['kind', 'model', 'key', 'project', 'job', 'day', 'hour'] as const

export const quantities = z.object({
  receipts: z.number(),
  requests: z.number(),
  rows: z.number(),
  compute_us: z.number(),
  bytes_in: z.number(),
  bytes_out: z.number(),
  tokens: z.number(),
})

export const usageQuery = z.strictObject({
  from: timestamp.optional(),
  to: timestamp.optional(),
  group_by: z
    .string()
    .transform(text => text.split(','))
    .pipe(z.array(z.enum(GROUPS)).max(GROUPS.length))
    .transform(groups => [...new Set(groups)])
    .optional(),
})

export const receipt = z.object({
  /** Position in the tenant's ledger, without a gap. */
  seq: z.number(),
  id: z.string(),
  at: timestamp,
  kind: z.string(),
  work: z.string(),
  model: z.string(),
  version: z.number(),
  digest: z.string(),
  key: z.string(),
  project: z.string().nullable(),
  tags: z.record(z.string(), z.string()),
  price_book: z.string(),
  ...quantities.omit({ receipts: true }).shape,
})

const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const

export const usageRoutes = [
  route({
    name: 'usage.totals',
    method: 'GET',
    path: '/v1/usage',
    summary: 'Totals of a period, by model, key, project, job, day or hour.',
    query: usageQuery,
    reply: z.object({
      from: timestamp.nullable(),
      to: timestamp.nullable(),
      total: quantities,
      data: z.array(quantities.extend({ group: z.record(z.string(), z.string().nullable()) })),
    }),
    status: 200,
    policy: { ...control, scope: 'usage:read' },
  }),
  route({
    name: 'usage.receipts',
    method: 'GET',
    path: '/v1/receipts',
    summary: 'Receipts in ledger order; a cursor never skips one that comes later.',
    query: pageQuery,
    reply: pageOf(receipt),
    status: 200,
    policy: { ...control, scope: 'usage:read' },
  }),
] as const
