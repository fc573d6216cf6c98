/** Imported tables: customer history, merchant data; rows by entity, of which features take the newest. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'
import { eventTypeBody } from './events.ts'
import { name } from './features.ts'
import { sha256 } from './models.ts'
import { pageOf, pageQuery, timestamp } from './page.ts'

const FORMATS = ['jsonl', 'parquet'] as const

const tableBody = z.strictObject({
  /** A completed upload: a row of it is an event of the type `table.<name>`. */
  file: z.strictObject({ sha256, format: z.enum(FORMATS) }),
  fields: eventTypeBody.shape.fields,
  entities: eventTypeBody.shape.entities,
  /** The column that says since when a row holds; without it, since the import. */
  time: z.string().min(1).max(200).optional(),
})

const table = z.object({
  name: z.string(),
  version: z.number(),
  file: z.object({ sha256, size: z.number(), format: z.enum(FORMATS) }),
  time: z.string().nullable(),
  event_type: z.string(),
  event_type_version: z.number(),
  /** The job that imports it, and how far it is. */
  job: z.string(),
  state: z.enum(['queued', 'running', 'done', 'failed', 'canceled', 'expired']),
  rows: z.number().nullable(),
  rows_done: z.number(),
  error: z.object({ code: z.string(), detail: z.string() }).nullable(),
  created_at: timestamp,
})

const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const

export const tableRoutes = [
  route({
    name: 'tables.put',
    method: 'PUT',
    path: '/v1/tables/:table',
    summary: 'Import a table; the same file under the same definition is the same version.',
    params: z.object({ table: name }),
    body: tableBody,
    reply: table,
    status: 202,
    policy: { ...control, scope: 'features:write' },
  }),
  route({
    name: 'tables.list',
    method: 'GET',
    path: '/v1/tables',
    summary: 'List tables, each at its newest version.',
    query: pageQuery,
    reply: pageOf(table),
    status: 200,
    policy: { ...control, scope: 'features:read' },
  }),
  route({
    name: 'tables.get',
    method: 'GET',
    path: '/v1/tables/:table',
    summary: 'Show the versions of a table, the newest first.',
    reply: z.object({ versions: z.array(table) }),
    status: 200,
    policy: { ...control, scope: 'features:read' },
  }),
] as const
