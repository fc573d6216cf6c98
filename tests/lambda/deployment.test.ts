/**
 * The parts of a deployment together: the edge's bundle in workerd, a gateway with the control API's bundle
 * behind it, a queue with its event source, objects in the Worker, and the log in S3.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { openSigner, placeKey, sha256Hex } from '#core/internal/signing.ts'
import { ask } from '#edge/functions-client.ts'
import { Galley } from '#sdk/client.ts'
import { firstKey } from './caller.ts'
import { BUCKET, type Cloud, SECRET, startCloud } from './cloud.ts'
import { type Gateway, serveGateway } from './gateway.ts'
import type { Host } from './host.ts'
import { handOver } from './messages.ts'

const TYPE = {
  fields: {
    card: { type: 'string' as const },
    note: { type: 'string' as const, length_max: 5_000 },
  },
  entities: { card: 'card' },
}
const SOURCE = '/till'
/** An hour is sealed when it has been over for a minute. */
const LATER_MS = 2 * 3_600_000

let cloud: Cloud
let gateway: Gateway
let reader: Host
let galley: Galley
let url = ''
let key = ''
beforeAll(async () => {
  cloud = await startCloud(inject('bundles'))
  await (await cloud.start('migrate')).invoke({})
  gateway = await serveGateway()
  url = (await cloud.startEdge(gateway.url)).url
  for (const host of [await cloud.start('api'), await cloud.start('api')]) gateway.add(host)
  reader = await cloud.start('ingest')
  key = await firstKey(gateway.url)
  galley = new Galley({ baseUrl: url, key })
}, 60_000)
afterAll(async () => {
  await gateway.close()
  await cloud.close()
})

async function sendEvents(ids: string[], note: string): Promise<{ accepted: number }> {
  const events = ids.map((id, at) => {
    const data = { card: `c${at % 7}`, note }
    return { specversion: '1.0', id, source: SOURCE, type: 'payment', data }
  })
  const reply = await fetch(`${url}/v1/events`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/cloudevents-batch+json',
    },
    body: JSON.stringify(events),
  })
  const answer = (await reply.json()) as { accepted: number }
  expect(reply.status, JSON.stringify(answer)).toBe(202)
  return answer
}

async function drained(): Promise<number> {
  let batches = 0
  for (;;) {
    const handed = await handOver(cloud, 'events', reader)
    if (!handed) return batches
    expect(handed.outcome).toEqual({ value: { batchItemFailures: [] } })
    batches++
  }
}

test('a key that the control API made is known at the edge, and what the edge carries on comes back', async () => {
  const whoami = await galley.request('keys.whoami')
  expect(whoami.tenant.name).toBe('first')
  await galley.request('event_types.declare', { params: { type: 'payment' }, body: TYPE })
  const found = await galley.request('event_types.get', { params: { type: 'payment' } })
  expect(found.entities).toEqual(TYPE.entities)
})

test('events that the edge acknowledged are in the log and at the objects of the Worker when the queue is read', async () => {
  expect(await sendEvents(['e0', 'e1', 'e2'], 'short')).toMatchObject({ accepted: 3 })
  expect(await drained()).toBeGreaterThan(0)
  const { data } = await galley.request('events.list', { query: { limit: 10 } })
  expect(data.map(event => event.id).sort()).toEqual(['e0', 'e1', 'e2'])
  for (const event of data) expect(event.positions[0]).toMatchObject({ entity: 'card' })
})

test('a batch of events larger than a function takes at once is acknowledged whole', async () => {
  const ids = Array.from({ length: 900 }, (_, at) => `large-${at}`)
  expect(await sendEvents(ids, '"'.repeat(4_000))).toMatchObject({ accepted: 900 })
  await drained()
  const { rows } = await cloud.admin.query(`select count(*)::int as n from events`)
  expect(rows[0].n).toBe(903)
})

test('what is larger than a function takes or gives is refused in words', async () => {
  const page = galley.request('events.list', { query: { limit: 1_000 } })
  await expect(page).rejects.toMatchObject({
    code: 'payload_too_large',
    message: expect.stringContaining('ask for less, such as a smaller page'),
  })
  const functions = {
    fetch: (request: Request) => fetch(gateway.url + new URL(request.url).pathname, request),
  }
  const signer = await openSigner('edge', await placeKey(SECRET, 'edge'))
  const asked = ask({ functions, signer, clock: { now: () => Date.now() } }, '/internal/receipts', {
    lines: ['x'.repeat(7_000_000)],
  })
  await expect(asked).rejects.toMatchObject({
    code: 'payload_too_large',
    public: expect.stringContaining('larger than can be carried on to the control API'),
  })
})

test('a path that no gateway takes is refused in words at the edge, and the longest it takes arrives', async () => {
  const about = (length: number) =>
    galley.request('event_types.get', { params: { type: 'x'.repeat(length) } })
  await expect(about(8_000)).rejects.toMatchObject({
    code: 'invalid_request',
    message: expect.stringContaining('send a shorter one'),
  })
  let [taken, refused] = [100, 8_000]
  while (refused - taken > 1) {
    const length = Math.floor((taken + refused) / 2)
    const { message } = (await about(length).catch(error => error)) as Error
    if (message.includes('send a shorter one')) refused = length
    else taken = length
  }
  await expect(about(taken)).rejects.toMatchObject({ code: 'not_found' })
  expect(taken).toBeGreaterThan(1_500)
})

test('a file larger than a function takes goes through the edge into S3, part by part, as the functions signed for it', async () => {
  const bytes = randomBytes(9_000_000)
  const sha256 = await sha256Hex(bytes)
  expect(await galley.upload(bytes)).toMatchObject({ sha256, size: bytes.length })
  const { Contents = [] } = await cloud.s3.send(new ListObjectsV2Command({ Bucket: BUCKET }))
  const stored = Contents.filter(({ Size }) => Size === bytes.length)
  expect(stored.map(({ Key }) => Key)).toEqual([expect.stringContaining(sha256)])
})

test('a file too large for a call of the control API is verified and joined by the function of its queue', async () => {
  const bytes = randomBytes(65 * 1024 ** 2)
  const sha256 = await sha256Hex(bytes)
  const stored = galley.upload(bytes)
  const ended = stored.then(
    () => true,
    () => true,
  )
  const verifying = await cloud.start('verify')
  while (!(await Promise.race([ended, sleep(100, false)]))) {
    const handed = await handOver(cloud, 'uploads', verifying)
    if (handed) expect(handed.outcome).toEqual({ value: { batchItemFailures: [] } })
  }
  expect(await stored).toEqual({ sha256, size: bytes.length })
  expect(verifying.output()).toContain('"event":"uploads.verified"')
  const { Contents = [] } = await cloud.s3.send(new ListObjectsV2Command({ Bucket: BUCKET }))
  expect(Contents.filter(({ Key }) => Key!.includes(sha256)).map(({ Size }) => Size)).toEqual([
    bytes.length,
  ])
  expect(Contents.filter(({ Key }) => Key!.startsWith('uploads/'))).toEqual([])
})

test('an hour that is over becomes a segment in S3 by the function of its schedule, DuckDB in its bundle', async () => {
  const clock = `const now=Date.now;Date.now=()=>now()+${LATER_MS}`
  const shift = `--import=data:text/javascript,${encodeURIComponent(clock)}`
  const later = { NODE_OPTIONS: `--enable-source-maps ${shift}` }
  const tending = await cloud.start('tend', later, 120)
  const at = new Date(Date.now() + LATER_MS).toISOString()
  expect(await tending.invoke({ at }), tending.output()).toEqual({ value: {} })
  const { data } = await galley.request('events.segments')
  expect(data.reduce((sum, segment) => sum + segment.rows, 0)).toBe(903)
  const { Contents = [] } = await cloud.s3.send(new ListObjectsV2Command({ Bucket: BUCKET }))
  expect(Contents.length).toBeGreaterThan(0)
})
