/** Decision endpoints, the decisions that were made, and the labels that came later. */
import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core'
import type { DecisionPlan, Outcome, Snapshot } from '#schemas/decision.ts'
import type { TenantId } from '#schemas/ids.ts'

const at = (name: string) => timestamp(name, { withTimezone: true })
const tenant = () => text('tenant_id').$type<TenantId>().notNull()

export const decisionEndpoints = pgTable(
  'decision_endpoints',
  {
    tenantId: tenant(),
    name: text('name').notNull(),
    version: integer('version').notNull(),
    hash: text('hash').notNull(),
    definition: jsonb('definition').notNull(),
    plan: jsonb('plan').$type<DecisionPlan>().notNull(),
    active: boolean('active').notNull().default(true),
    createdAt: at('created_at').notNull().default(sql`now()`),
  },
  t => [primaryKey({ columns: [t.tenantId, t.name, t.version] })],
)

/** One row per decided event. The snapshot comes from the object, the outcome from the edge, in any order. */
export const decisions = pgTable(
  'decisions',
  {
    tenantId: tenant(),
    /** The event's key: an event is decided once per endpoint. */
    eventKey: uuid('event_key').notNull(),
    endpoint: text('endpoint').notNull(),
    endpointVersion: integer('endpoint_version').notNull(),
    /** Microseconds: the time of the gating entity's read. */
    at: bigint('at', { mode: 'number' }).notNull(),
    snapshot: jsonb('snapshot').$type<Snapshot>(),
    outcome: jsonb('outcome').$type<Outcome>(),
    score: doublePrecision('score'),
    label: jsonb('label').$type<{ value: number | boolean | string; at: string }>(),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.endpoint, t.eventKey] }),
    index('decisions_by_time').on(t.tenantId, t.endpoint, t.at),
  ],
)
