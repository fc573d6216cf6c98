/**
 * The queue: sending, receiving and deleting, and how soon a waiting reader has a new message. With the
 * path of a pg-boss module it runs beside it, in turn, on the same server in the same run.
 *
 *   npm run bench -- queue [path/to/pg-boss/dist/index.js]
 *
 * The work: messages of 200 bytes; 16 callers send one at a time, 4 send a hundred at a time, 8 readers
 * receive and delete ten at a time; then 200 messages one by one to a reader that waits.
 */
import pg from 'pg'
import type { Queue } from '#core/deps.ts'
import { postgresQueue } from '#platform/queue/postgres.ts'
import { type Server, startServer } from '#tests/conformance/server.ts'
import { openPgBoss } from './queue-pg-boss.ts'

const ROUNDS = 3
const SINGLES = 2_000
const BATCHED = 10_000
const WAKE_UPS = 200
const body = 'x'.repeat(200)

type Side = {
  name: string
  queue: Queue
  sendOne(): Promise<unknown>
  /** Starts a reader that waits; calls back at each message and deletes it. Returns how to stop it. */
  listen(onMessage: () => void): Promise<() => Promise<void>>
  empty(): Promise<void>
  close(): Promise<void>
}
type Figures = {
  send_one_per_s: number
  send_batched_per_s: number
  receive_delete_per_s: number
  wake_up_p50_ms: number
  wake_up_p99_ms: number
}

async function galley(server: Server): Promise<Side> {
  const pool = new pg.Pool({ ...server.connection, max: 10 })
  pool.on('connect', client => client.on('error', () => {}))
  const queue = postgresQueue({ pool, listen: server.connection })
  return {
    name: 'galley',
    queue,
    sendOne: () => queue.send('work', [{ body }]),
    async listen(onMessage) {
      const stop = new AbortController()
      const reading = (async () => {
        while (!stop.signal.aborted) {
          const options = { max: 1, waitS: 20, signal: stop.signal }
          const messages = await queue.receive('work', options)
          for (const _ of messages) onMessage()
          await queue.delete(
            'work',
            messages.map(m => m.receipt),
          )
        }
      })()
      return async () => {
        stop.abort()
        await reading
      }
    },
    empty: async () => void (await pool.query('delete from queue_messages')),
    async close() {
      await queue.close()
      await pool.end()
    },
  }
}

async function pgBoss(path: string, server: Server): Promise<Side> {
  const { boss, queue, empty, close } = await openPgBoss(path, server.admin)
  return {
    name: 'pg-boss',
    queue,
    sendOne: () => boss.send('work', { body }),
    async listen(onMessage) {
      // Its own way to wait: a worker that NOTIFY wakes, polling as often as it allows.
      const options = { pollingIntervalSeconds: 0.5, batchSize: 1 }
      await boss.work('work', options, async jobs => {
        for (const _ of jobs) onMessage()
      })
      return () => boss.offWork('work')
    },
    empty,
    close,
  }
}

async function measure(side: Side): Promise<Figures> {
  await side.empty()
  const sendOne = await perSecond(SINGLES, async () => {
    await callers(16, SINGLES, () => side.sendOne())
  })
  await side.empty()
  const hundred = Array.from({ length: 100 }, () => ({ body }))
  const sendBatched = await perSecond(BATCHED, async () => {
    await callers(4, BATCHED / 100, () => side.queue.send('work', hundred))
  })
  let left = BATCHED
  const receiveDelete = await perSecond(BATCHED, async () => {
    await callers(8, Number.POSITIVE_INFINITY, async () => {
      if (left <= 0) return false
      const messages = await side.queue.receive('work', { max: 10, waitS: 0 })
      left -= messages.length
      await side.queue.delete(
        'work',
        messages.map(m => m.receipt),
      )
    })
  })
  const waits = (await wakeUps(side)).sort((a, b) => a - b)
  return {
    send_one_per_s: sendOne,
    send_batched_per_s: sendBatched,
    receive_delete_per_s: receiveDelete,
    wake_up_p50_ms: waits[Math.floor(WAKE_UPS * 0.5)]!,
    wake_up_p99_ms: waits[Math.floor(WAKE_UPS * 0.99)]!,
  }
}

async function wakeUps(side: Side): Promise<number[]> {
  let arrived = () => {}
  const stop = await side.listen(() => arrived())
  await pause(700)
  const waits: number[] = []
  for (let i = 0; i < WAKE_UPS; i++) {
    const arrival = new Promise<void>(resolve => {
      arrived = resolve
    })
    const startMs = performance.now()
    await side.queue.send('work', [{ body }])
    await arrival
    waits.push(performance.now() - startMs)
    // The reader has to be back at its waiting.
    await pause(15)
  }
  await stop()
  return waits
}

async function callers(count: number, calls: number, call: () => Promise<unknown>) {
  let left = calls
  const caller = async () => {
    while (left-- > 0) if ((await call()) === false) return
  }
  await Promise.all(Array.from({ length: count }, caller))
}

async function perSecond(count: number, work: () => Promise<void>): Promise<number> {
  const startMs = performance.now()
  await work()
  return (count / (performance.now() - startMs)) * 1_000
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

function median(rounds: Figures[]): Figures {
  const names = Object.keys(rounds[0]!) as (keyof Figures)[]
  const middle = (name: keyof Figures) =>
    rounds.map(r => r[name]).sort((a, b) => a - b)[Math.floor(rounds.length / 2)]!
  return Object.fromEntries(
    names.map(name => [name, Math.round(middle(name) * 100) / 100]),
  ) as Figures
}

const server = await startServer()
const path = process.argv[2]
const sides = [await galley(server), ...(path ? [await pgBoss(path, server)] : [])]
const rounds = new Map(sides.map(side => [side.name, [] as Figures[]]))
for (let round = 0; round < ROUNDS; round++) {
  for (const side of sides) rounds.get(side.name)!.push(await measure(side))
}
const figures = Object.fromEntries([...rounds].map(([name, all]) => [name, median(all)]))
for (const side of sides) await side.close()
await server.stop()
const [ours, theirs] = [figures.galley!, figures['pg-boss']]
process.stdout.write(
  `${JSON.stringify({
    bench: 'queue',
    rounds: ROUNDS,
    ...figures,
    ...(theirs && {
      ratio: Math.round((ours.receive_delete_per_s / theirs.receive_delete_per_s) * 100) / 100,
    }),
  })}\n`,
)
