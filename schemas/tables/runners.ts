/** The machines that run models, as they announce themselves. The platform's own; nothing of a tenant. */
import { sql } from 'drizzle-orm'
import { doublePrecision, integer, jsonb, pgTable, text, timestamp } from 'drizzle-orm/pg-core'

/** A runner that announces itself every ten seconds is taken to be gone after so much silence. */
export const RUNNER_SILENT_MS = 45_000

export const runners = pgTable('runners', {
  name: text('name').primaryKey(),
  /** Its class: versions may ask for one. */
  hardware: text('hardware').notNull(),
  /** Execution providers, in the order in which they are tried. */
  providers: jsonb('providers').$type<string[]>().notNull(),
  /** Why it cannot serve what asks for its class, in the engine's words; null: it can. */
  lacks: text('lacks'),
  cores: integer('cores').notNull(),
  modelMemoryMb: integer('model_memory_mb').notNull(),
  /** Part of its time that online requests took lately, 0 to 1. */
  onlineShare: doublePrecision('online_share').notNull().default(0),
  /** Models of online requests that it has in memory. */
  warmModels: integer('warm_models').notNull().default(0),
  /** When it last said that it answers requests; null: it never has. */
  onlineAt: timestamp('online_at', { withTimezone: true }),
  /** When it announced itself first since it was last taken to be gone. */
  sinceAt: timestamp('since_at', { withTimezone: true }).notNull().default(sql`now()`),
  seenAt: timestamp('seen_at', { withTimezone: true }).notNull().default(sql`now()`),
})

/** Classes of hardware of which online requests have found no runner. */
export const runnerCalls = pgTable('runner_calls', {
  hardware: text('hardware').primaryKey(),
  /** The last time. */
  calledAt: timestamp('called_at', { withTimezone: true }).notNull(),
})
