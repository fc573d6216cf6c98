/**
 * A queue with SQS semantics on one PostgreSQL table. The database's clock is the only clock, so readers
 * on machines with skewed ones agree about who holds what; waiting alone is timed here, monotonically.
 * Statements are not named: a plan cached while the table was empty would scan it for ever after.
 */
import type pg from 'pg'
import type { Message, Queue } from '#core/deps.ts'
import { QUEUES, type QueueName } from '#schemas/queues.ts'
import { microBatch } from './batch.ts'
import { CHANNEL, doorbell } from './listen.ts'
import { checkOutgoing, checkReceive, checkRedrive, checkVisibility } from './message.ts'
import { isUnavailable, storeFault } from './unavailable.ts'

/** A message may become receivable without a ring (its reader died): look again after this at the latest. */
const LOOK_MS_MAX = 5_000
/** Another reader holds the lock on what we saw; it is gone in a moment. */
const LOOK_MS_MIN = 20
const RETRY_MS_MAX = 1_000
const BATCH = { itemsMax: 1_000, weightMax: 4_194_304, inFlightMax: 2 }

const SEND = `
  with sent as (
    insert into queue_messages (queue, body, visible_at)
    select queue, body, now() + make_interval(secs => delay_s)
    from unnest($1::text[], $2::text[], $3::float8[]) as m (queue, body, delay_s)
    returning queue)
  select pg_notify('${CHANNEL}', queue) from (select distinct queue from sent) as rung`

// Materialised: a sub-query here may be run again per row and then claims more than the limit.
const RECEIVE = `
  with due as materialized (
    select id from queue_messages where queue = $1 and visible_at <= now()
    order by visible_at, id limit $2 for update skip locked)
  update queue_messages as m set
    queue = case when receive_count < $4 then queue else queue || '-dead' end,
    receipt = case when receive_count < $4 then gen_random_uuid() end,
    receive_count = receive_count + case when receive_count < $4 then 1 else 0 end,
    visible_at = case when receive_count < $4
      then clock_timestamp() + make_interval(secs => $3) else now() end
  from due where m.id = due.id
  returning m.id, m.body, m.receipt, m.receive_count`

const NEXT_DUE = `
  select extract(epoch from min(visible_at) - clock_timestamp())::float8 * 1000 as ms
  from queue_messages where queue = $1`

const DELETE = `
  delete from queue_messages as m
  using unnest($1::text[], $2::bigint[], $3::uuid[]) as r (queue, id, receipt)
  where m.id = r.id and m.receipt = r.receipt and m.queue = r.queue`

// Whoever sleeps until the old time must hear of an earlier one.
const EXTEND = `
  with held as (
    select id, visible_at from queue_messages
    where queue = $1 and id = $2 and receipt = $3 for update),
  moved as (
    update queue_messages as m set visible_at = clock_timestamp() + make_interval(secs => $4)
    from held where m.id = held.id returning m.queue, m.visible_at < held.visible_at as sooner)
  select case when sooner then pg_notify('${CHANNEL}', queue)::text end from moved`

const REDRIVE = `
  with dead as materialized (
    select id from queue_messages where queue = $1::text || '-dead'
    order by visible_at, id limit $2 for update skip locked),
  back as (
    update queue_messages as m set
      queue = $1::text, receipt = null, receive_count = 0, visible_at = now(), sent_at = now()
    from dead where m.id = dead.id returning m.id)
  select count(*)::int as n, (select pg_notify('${CHANNEL}', $1::text)::text) as rung from back`

type Row = { id: string; body: string; receipt: string | null; receive_count: number }
type Held = { queue: QueueName; id: string; receipt: string }

/**
 * `pool` stays the caller's. `listen` connects directly, not through a pooler: it LISTENs. `send`,
 * `delete` and `extend` throw a retryable `unavailable` when the database is away; `receive` waits for it.
 */
export function postgresQueue(o: {
  pool: pg.Pool
  listen: pg.ClientConfig
}): Queue & { close(): Promise<void> } {
  const bell = doorbell(o.listen)
  let closed = false
  outliveIdleLoss(o.pool)

  async function query<R extends pg.QueryResultRow>(text: string, values: unknown[]) {
    try {
      return await o.pool.query<R>(text, values)
    } catch (error) {
      throw storeFault(error)
    }
  }

  const sendAll = microBatch<{ queue: QueueName; body: string; delayS?: number }>(
    async items => {
      const delays = items.map(m => m.delayS ?? 0)
      await query(SEND, [items.map(m => m.queue), items.map(m => m.body), delays])
      return undefined
    },
    { ...BATCH, weigh: m => m.body.length },
  )
  const deleteAll = microBatch<Held>(
    async held => {
      await query(DELETE, [held.map(h => h.queue), held.map(h => h.id), held.map(h => h.receipt)])
      return undefined
    },
    { ...BATCH, weigh: () => 1 },
  )

  /** Claims what is due; what was received too often goes to the dead letters and we look again. */
  async function claim(queue: QueueName, max: number, visibilityS: number): Promise<Message[]> {
    for (;;) {
      const limits = [queue, max, visibilityS, QUEUES[queue].receiveCountMax]
      const { rows } = await query<Row>(RECEIVE, limits)
      const messages = rows.flatMap(row => toMessage(row))
      if (messages.length > 0 || rows.length === 0) return messages
    }
  }

  async function nextDueMs(queue: QueueName): Promise<number> {
    const { rows } = await query<{ ms: number | null }>(NEXT_DUE, [queue])
    return Math.max(LOOK_MS_MIN, Math.ceil(rows[0]?.ms ?? LOOK_MS_MAX) + 1)
  }

  async function receive(queue: QueueName, options: Parameters<Queue['receive']>[1]) {
    checkReceive(options)
    const { max, waitS, signal, visibilityS = QUEUES[queue].visibilityS } = options
    const untilMs = performance.now() + waitS * 1000
    let answered = false
    let retryMs = LOOK_MS_MIN
    for (;;) {
      if (signal?.aborted || closed) return []
      const ticket = bell.ticket(queue)
      let lookAgainMs: number
      try {
        const messages = await claim(queue, max, visibilityS)
        answered = true
        if (messages.length > 0 || untilMs <= performance.now()) return messages
        lookAgainMs = await nextDueMs(queue)
        retryMs = LOOK_MS_MIN
      } catch (error) {
        const over = untilMs <= performance.now()
        if (!isUnavailable(error) || (over && !answered)) throw error
        lookAgainMs = retryMs = Math.min(retryMs * 2, RETRY_MS_MAX)
      }
      const leftMs = untilMs - performance.now()
      await bell.wait(
        queue,
        ticket,
        Math.max(0, Math.min(leftMs, lookAgainMs, LOOK_MS_MAX)),
        signal,
      )
    }
  }

  return {
    receive,
    async send(queue, messages) {
      checkOutgoing(messages)
      await sendAll(messages.map(m => ({ queue, ...m })))
    },
    async delete(queue, receipts) {
      await deleteAll(receipts.flatMap(receipt => parseReceipt(queue, receipt)))
    },
    async extend(queue, receipt, visibilityS) {
      checkVisibility(visibilityS)
      const [held] = parseReceipt(queue, receipt)
      if (!held) return false
      const done = await query(EXTEND, [queue, held.id, held.receipt, visibilityS])
      return done.rowCount === 1
    },
    async dead(queue) {
      const count = 'select count(*)::int as n from queue_messages where queue = $1'
      return (await query<{ n: number }>(count, [`${queue}-dead`])).rows[0]?.n ?? 0
    },
    async redrive(queue, max) {
      checkRedrive(max)
      return (await query<{ n: number }>(REDRIVE, [queue, max])).rows[0]?.n ?? 0
    },
    async close() {
      closed = true
      await bell.close()
    },
  }
}

const outliving = new WeakSet<pg.Pool>()

/** Without a listener the loss of an idle connection ends the process, also after this queue is closed. */
function outliveIdleLoss(pool: pg.Pool): void {
  if (outliving.has(pool)) return
  outliving.add(pool)
  pool.on('error', () => {})
}

function toMessage(row: Row): Message[] {
  if (row.receipt === null) return []
  const { id, body, receipt, receive_count: receiveCount } = row
  return [{ id, body, receipt: `${id}.${receipt}`, receiveCount }]
}

// The id is in the receipt, so that a delete goes by the primary key and receipts need no index.
const RECEIPT = /^(\d{1,18})\.([0-9a-f-]{36})$/

function parseReceipt(queue: QueueName, text: string): Held[] {
  const [, id, receipt] = RECEIPT.exec(text) ?? []
  return id && receipt ? [{ queue, id, receipt }] : []
}
