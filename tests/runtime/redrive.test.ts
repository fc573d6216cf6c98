/** An operator sends dead messages back: through the functions, signed, whatever engine has the queues. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { getRequestListener } from '@hono/node-server'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { openVerifier, placeKey } from '#core/internal/signing.ts'
import { createApi } from '#functions/api.ts'
import type { FunctionsDeps } from '#functions/deps.ts'
import { connectionOf } from '#platform/db/postgres.ts'
import { postgresQueue } from '#platform/queue/postgres.ts'
import { QUEUES } from '#schemas/queues.ts'
import { systemClock } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const OPERATOR = fileURLToPath(new URL('../../local/operator/operator.ts', import.meta.url))
const SECRET = 'a secret of the test alone, long enough'
/** More than one call of the functions takes. */
const MANY = 230

const { db, admin, url: databaseUrl } = await testDatabase()
const queue = postgresQueue({ pool: db.pool, listen: connectionOf(databaseUrl) })
const api = createApi({
  queue,
  clock: systemClock,
  log: { info() {}, error() {} },
  verifier: await openVerifier({ supervisor: await placeKey(SECRET, 'supervisor') }),
} as unknown as FunctionsDeps)
const server = createServer(getRequestListener(api))
const folder = mkdtempSync(join(tmpdir(), 'galley-operator-'))
let url = ''
beforeAll(async () => {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await queue.close()
  rmSync(folder, { recursive: true })
})
beforeEach(async () => {
  await admin.query('truncate queue_messages')
  await admin.query(
    `insert into queue_messages (queue, body, receive_count)
     select 'events-dead', 'm' || n, 50 from generate_series(1, $1) as n`,
    [MANY],
  )
})

/** As `npm run operator` runs it. */
function operator(args: string[], input = ''): Promise<{ code: number; out: string; err: string }> {
  return new Promise(resolve => {
    const node = ['--disable-warning=ExperimentalWarning', OPERATOR, ...args]
    const child = execFile(process.execPath, node, (error, out, err) =>
      resolve({ code: Number(error?.code ?? 0), out, err }),
    )
    child.stdin!.on('error', () => {})
    child.stdin!.end(input)
  })
}

test('all dead messages come back as new, counted, and those of other queues stay', async () => {
  await admin.query(`insert into queue_messages (queue, body) values ('work-dead', 'other')`)
  const ran = await operator(['redrive', 'events', '--functions', url, '--json'], SECRET)
  expect(ran).toMatchObject({ code: 0, err: '' })
  expect(JSON.parse(ran.out)).toEqual({ queue: 'events', sent: MANY, dead: 0 })
  const [first] = await queue.receive('events', { max: 1, waitS: 5 })
  expect(first).toMatchObject({ receiveCount: 1 })
  const { rows } = await admin.query(
    `select count(distinct body)::int as n from queue_messages where queue = 'events'`,
  )
  expect(rows[0].n).toBe(MANY)
  expect(await queue.dead('work')).toBe(1)
})

test('no more than --max come back, also where the Galley of this machine is asked', async () => {
  mkdirSync(join(folder, 'run'))
  writeFileSync(join(folder, 'run', 'functions.url'), url)
  writeFileSync(join(folder, 'secrets.json'), JSON.stringify({ signing_key: SECRET }))
  const ran = await operator(['redrive', 'events', '--data', folder, '--max', '130'])
  expect(ran).toMatchObject({ code: 0, err: '' })
  expect(ran.out).toBe(`130 messages were sent back to events; ${MANY - 130} are still dead.\n`)
  expect(await queue.dead('events')).toBe(MANY - 130)
})

test('who has another secret sends nothing back', async () => {
  const args = ['redrive', 'events', '--functions', url]
  const ran = await operator(args, `${SECRET}, but another one`)
  expect(ran).toMatchObject({ code: 1, out: '' })
  expect(ran.err).toContain('answered 401')
  expect(await queue.dead('events')).toBe(MANY)
})

test.for([
  [
    ['redrive', 'toString'],
    `There is no queue "toString"; it is one of ${Object.keys(QUEUES).join(', ')}.`,
  ],
  [
    ['redrive', 'events', '--max', '0'],
    '--max is "0"; it must be a number of messages, 1 or more.',
  ],
  [['redrive', 'events', '--data', join(folder, 'none')], 'No Galley runs on the data folder'],
  [['redrive', 'events', '--functions', 'here'], '"here" is no URL; name the functions'],
  [['redrive', 'events', '--functions', 'http://127.0.0.1:9'], 'Nobody answers at http://127'],
] as const)('%j is refused in words', async ([args, words]) => {
  const ran = await operator([...args], SECRET)
  expect(ran).toMatchObject({ code: 1, out: '' })
  expect(ran.err).toContain(words)
})
