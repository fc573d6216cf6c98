/** Which version serves, and how it came to: switches that were made or refused, rollouts and what they saw. */
import { sql } from 'drizzle-orm'
import {
  bigint,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  real,
  text,
  timestamp,
  uniqueIndex,
} from 'drizzle-orm/pg-core'
import type { RolloutId, SwitchId, TenantId } from '#schemas/ids.ts'
import type { Guard, Report, Tolerance } from '#schemas/rollout.ts'

const at = (name: string) => timestamp(name, { withTimezone: true })
const tenant = () => text('tenant_id').$type<TenantId>().notNull()

export type SwitchKind = 'flip' | 'remove' | 'canary' | 'shadow' | 'promote' | 'rollback'

/** Appended in the transaction that switches, or when a switch is refused; nothing is ever taken back. */
export const modelSwitches = pgTable(
  'model_switches',
  {
    tenantId: tenant(),
    id: text('id').$type<SwitchId>().notNull(),
    model: text('model').notNull(),
    alias: text('alias').notNull(),
    kind: text('kind').$type<SwitchKind>().notNull(),
    fromVersion: integer('from_version'),
    toVersion: integer('to_version'),
    outcome: text('outcome').$type<'done' | 'refused'>().notNull(),
    /** Why it was refused, or what it was done for. */
    reason: text('reason'),
    /** The key that asked for it; `galley`: a guard of the rollout. */
    actor: text('actor').notNull(),
    at: at('at').notNull(),
    /** What the edge that made it saw of its requests afterwards; null: it did not live to tell. */
    answeredFrom: bigint('answered_from', { mode: 'number' }),
    answeredTo: bigint('answered_to', { mode: 'number' }),
    dropped: bigint('dropped', { mode: 'number' }),
    mixed: bigint('mixed', { mode: 'number' }),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.id] }),
    index('model_switches_model').on(t.tenantId, t.model, t.id),
  ],
)

export type RolloutState = 'running' | 'promoted' | 'rolled_back' | 'replaced'

export const modelRollouts = pgTable(
  'model_rollouts',
  {
    tenantId: tenant(),
    id: text('id').$type<RolloutId>().notNull(),
    model: text('model').notNull(),
    alias: text('alias').notNull(),
    mode: text('mode').$type<'canary' | 'shadow'>().notNull(),
    /** The version that the alias names, and the one that is tried beside it. */
    fromVersion: integer('from_version').notNull(),
    toVersion: integer('to_version').notNull(),
    percent: real('percent').notNull(),
    tolerance: jsonb('tolerance').$type<Tolerance>().notNull(),
    guard: jsonb('guard').$type<Guard>().notNull(),
    state: text('state').$type<RolloutState>().notNull(),
    /** Why it ended. */
    reason: text('reason'),
    /** Sums of what the edges saw. */
    report: jsonb('report').$type<Report>().notNull(),
    createdBy: text('created_by').notNull(),
    createdAt: at('created_at').notNull(),
    endedAt: at('ended_at'),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.id] }),
    uniqueIndex('model_rollouts_running').on(t.tenantId, t.model).where(sql`state = 'running'`),
    index('model_rollouts_model').on(t.tenantId, t.model, t.id),
  ],
)
