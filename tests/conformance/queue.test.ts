/** The queue suite over PostgreSQL, and over the wire in front of it, and what outlives their server. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Queue } from '#core/deps.ts'
import { postgresQueue } from '#platform/queue/postgres.ts'
import { remoteQueue } from '#platform/queue/remote.ts'
import { QUEUE_ENGINES } from './engines.ts'
import { drain, type QueueDriver, queueSuite, settle } from './queue.ts'
import { queueOverHttp } from './queue-http.ts'
import { type Server, startServer } from './server.ts'

let server: Server
let pool: pg.Pool

beforeAll(async () => {
  server = await startServer()
  pool = new pg.Pool({ ...server.connection, max: 8 })
  // A client that has left the pool may still hear that its server stops.
  pool.on('connect', client => client.on('error', () => {}))
}, 60_000)
afterAll(async () => {
  await pool.end()
  await server.stop()
})

async function emptyPostgres() {
  await pool.query('delete from queue_messages')
  return postgresQueue({ pool, listen: server.connection })
}

async function remoteOverPostgres() {
  const behind = await emptyPostgres()
  const http = await queueOverHttp(behind)
  const close = async () => {
    await http.close()
    await behind.close()
  }
  return { queue: remoteQueue({ request: http.request }), close }
}

const drivers: QueueDriver[] = [
  {
    name: 'postgres',
    flags: QUEUE_ENGINES.postgres,
    async fresh() {
      const queue = await emptyPostgres()
      return { queue, close: () => queue.close() }
    },
  },
  { name: 'remote', flags: QUEUE_ENGINES.remote, fresh: remoteOverPostgres },
]
for (const driver of drivers) queueSuite(driver)

const outliving = drivers.filter(d => d.flags.outlivesItsServer)
for (const driver of outliving) {
  test(`queue on ${driver.name}: what was acknowledged outlives a kill -9 of its server`, async () => {
    const { queue, close } = await driver.fresh()
    const acknowledged: string[] = []
    const reader = queue.receive('validate', { max: 1, waitS: 20 })
    const stop = new AbortController()
    const writers = Array.from({ length: 8 }, (_, w) =>
      sendUntil(queue, w, acknowledged, stop.signal),
    )
    for (let round = 0; round < 3; round++) {
      await settle()
      await server.kill()
      await settle()
      await server.start()
    }
    await settle()
    stop.abort()
    await Promise.all(writers)
    await queue.send('validate', [{ body: 'still here' }])
    expect((await reader).map(m => m.body)).toEqual(['still here'])
    const arrived = new Set(await drain(queue))
    expect(acknowledged.length).toBeGreaterThan(0)
    expect(acknowledged.filter(body => !arrived.has(body))).toEqual([])
    await close()
  }, 60_000)
}

async function sendUntil(queue: Queue, writer: number, acknowledged: string[], stop: AbortSignal) {
  for (let n = 0; !stop.aborted; n++) {
    const body = `${writer}-${n}`
    try {
      await queue.send('work', [{ body }])
      acknowledged.push(body)
    } catch (error) {
      expect(error).toMatchObject({ code: 'unavailable', retryable: true })
      await settle()
    }
  }
}
