/** How many runners there should have been, and why. The platform's own; nothing of a tenant. */
import { sql } from 'drizzle-orm'
import {
  bigserial,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  timestamp,
} from 'drizzle-orm/pg-core'

const at = (name: string) => timestamp(name, { withTimezone: true })

/** Decisions one after the other that were alike are one row: what the next ones read as their past. */
export const capacityDecisions = pgTable(
  'capacity_decisions',
  {
    id: bigserial('id', { mode: 'bigint' }).primaryKey(),
    hardware: text('hardware').notNull(),
    /** Of the first of them, and of the last. */
    sinceAt: at('since_at').notNull(),
    untilAt: at('until_at').notNull(),
    /** Runners that there was work for. */
    needed: integer('needed').notNull(),
    /** Those that would have been started for it, had they not been there. */
    started: integer('started').notNull(),
    spot: integer('spot').notNull(),
    onDemand: integer('on_demand').notNull(),
    /** What a start was taken to need at the last of them, seconds; null: that was not written down yet. */
    coldS: doublePrecision('cold_s'),
    /** Of the first of them, in words. */
    reasons: jsonb('reasons').$type<string[]>().notNull().default(sql`'[]'`),
  },
  t => [index('capacity_decisions_newest').on(t.hardware, t.id.desc())],
)
