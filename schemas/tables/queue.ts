/** The PostgreSQL queue: SQS semantics on one table. Not tenant data: a message names its tenant inside. */
import { sql } from 'drizzle-orm'
import { bigserial, index, integer, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

export const queueMessages = pgTable(
  'queue_messages',
  {
    id: bigserial('id', { mode: 'bigint' }).primaryKey(),
    queue: text('queue').notNull(),
    body: text('body').notNull(),
    /** A message is receivable from this moment on: delay and visibility are the same mechanism. */
    visibleAt: timestamp('visible_at', { withTimezone: true }).notNull().default(sql`now()`),
    receiveCount: integer('receive_count').notNull().default(0),
    /** Fresh at every receive; only its holder may delete or extend. */
    receipt: uuid('receipt'),
    sentAt: timestamp('sent_at', { withTimezone: true }).notNull().default(sql`now()`),
  },
  t => [index('queue_messages_receivable').on(t.queue, t.visibleAt, t.id)],
)
