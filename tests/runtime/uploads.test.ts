/** Uploads that are too large to be verified within a call: what they come to, whoever dies when, and who is told. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { afterAll, beforeEach, expect, test } from 'vitest'
import * as blobKeys from '#core/blob-keys.ts'
import type { Blobs, Message } from '#core/deps.ts'
import * as models from '#core/models/models.ts'
import * as outbox from '#core/outbox.ts'
import type { FunctionsDeps } from '#functions/deps.ts'
import { completeUpload, uploadVerified, verifyUploads } from '#functions/models/uploads.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { connectionOf } from '#platform/db/postgres.ts'
import { postgresQueue } from '#platform/queue/postgres.ts'
import { callOf, handClock, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'
import { sha256 } from '../conformance/bytes.ts'

const { db, admin, url } = await testDatabase()
const queue = postgresQueue({ pool: db.pool, listen: connectionOf(url) as pg.ClientConfig })
const root = mkdtempSync(join(tmpdir(), 'galley-uploads-'))
const blobs = folderBlobs({ root })
const clock = handClock(Date.now())
const { tenantId } = await newTenant(db)
const call = callOf(tenantId)
const lines: string[] = []
const log = { info() {}, error: (event: string) => void lines.push(event) }
afterAll(async () => {
  await queue.close()
  rmSync(root, { recursive: true })
})

const PART = 32 * 1024 ** 2
let made = 0
/** A byte more than is verified at once, and not the same twice. */
function fresh(size = models.verification.AT_ONCE_BYTES_MAX + 1): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.writeUInt32LE(++made)
  return bytes
}
const partsOf = (bytes: Buffer) =>
  Array.from({ length: Math.ceil(bytes.length / PART) }, (_, at) =>
    bytes.subarray(at * PART, (at + 1) * PART),
  )

function depsWith(more: Partial<FunctionsDeps> = {}): FunctionsDeps {
  const promised = () => {}
  return { db, queue, blobs, clock, log, promised, ...more } as FunctionsDeps
}

beforeEach(async () => {
  lines.length = 0
  await admin.query('truncate outbox, queue_messages')
})

/** An upload with parts, of which some may be other bytes than were declared. */
async function sent(bytes: Buffer, parts = partsOf(bytes)): Promise<string> {
  const declared = { sha256: sha256(bytes), size: bytes.length }
  const { id } = await inTenant({ db }, tenantId, unit =>
    models.uploads.create(unit, call, declared),
  )
  for (const [at, part] of parts.entries()) await sendPart(id, at + 1, part)
  return id
}
async function sendPart(upload_id: string, number: number, part: Buffer) {
  const grant = await inTenant({ db }, tenantId, unit =>
    models.uploads.grantPart(unit, call, { upload_id, number: String(number) }),
  )
  await blobs.putPart(grant.uploadKey, grant.number, part, { sizeMax: grant.sizeMax })
}
const complete = (upload_id: string, more: Partial<FunctionsDeps> = {}) =>
  completeUpload(depsWith(more), call, { upload_id })
const get = (upload_id: string) => models.uploads.get({ db, blobs, clock }, call, { upload_id })
const isFile = async (bytes: Buffer) =>
  (await blobs.head(blobKeys.file(tenantId, sha256(bytes))))?.size === bytes.length

/** What the queue has now, as if every message that is hidden were visible again. */
async function received(): Promise<Message[]> {
  while ((await outbox.relay({ db, queue })) > 0);
  await admin.query('update queue_messages set visible_at = now()')
  return queue.receive('uploads', { max: 10, waitS: 0 })
}
async function read(messages: Message[], more: Partial<FunctionsDeps> = {}): Promise<number> {
  let taken = 0
  await verifyUploads(depsWith(more), messages, async done => {
    taken += done.length
    await queue.delete(
      'uploads',
      done.map(({ receipt }) => receipt),
    )
  })
  return taken
}

test('a large upload waits, takes no parts meanwhile, and is complete when the queue is read', async () => {
  const bytes = fresh()
  const id = await sent(bytes)
  expect(await complete(id)).toMatchObject({ state: 'verifying', error: null, parts: [] })
  await expect(sendPart(id, 1, bytes)).rejects.toMatchObject({
    code: 'conflict',
    public: 'This upload is being verified and takes no more parts.',
  })
  expect(await isFile(bytes)).toBe(false)
  expect(await read(await received())).toBe(1)
  expect(await get(id)).toMatchObject({ state: 'complete', error: null })
  expect(await isFile(bytes)).toBe(true)
  expect(await blobs.listParts(blobKeys.upload(tenantId, id as never))).toEqual([])
  const again = { sha256: sha256(bytes), size: bytes.length }
  const known = inTenant({ db }, tenantId, unit => models.uploads.create(unit, call, again))
  expect(await known).toMatchObject({ state: 'complete' })
})

test('a small upload is complete when its caller is answered, and no message is sent', async () => {
  const bytes = fresh(5_000)
  const id = await sent(bytes, [bytes.subarray(0, 10), bytes.subarray(10)])
  expect(await complete(id)).toMatchObject({ state: 'complete' })
  expect(await complete(id)).toMatchObject({ state: 'complete' })
  const wrong = fresh(5_000)
  const other = await sent(wrong, [fresh(5_000)])
  const told = complete(other)
  await expect(told).rejects.toMatchObject({ code: 'digest_mismatch' })
  expect(await get(other)).toMatchObject({ state: 'open', parts: [{ number: 1 }] })
  await sendPart(other, 1, wrong)
  expect(await complete(other)).toMatchObject({ state: 'complete' })
  expect((await admin.query('select 1 from outbox')).rowCount).toBe(0)
})

test('whoever dies at whichever step, the upload is complete when its message has come often enough', async () => {
  const bytes = fresh()
  const id = await sent(bytes)
  const dead = () => Promise.reject(new Error('killed'))
  // Before anything was stored, and after it was stored and before anybody was told.
  await expect(complete(id, { db: { ...db, tenant: dead } })).rejects.toThrow('killed')
  expect(await get(id)).toMatchObject({ state: 'open' })
  await complete(id)
  const doneThenKilled: Blobs = {
    ...blobs,
    completeUpload: async (...given) => blobs.completeUpload(...given).then(dead),
  }
  const kills: Partial<FunctionsDeps>[] = [
    { db: { ...db, tenant: dead } },
    { blobs: { ...blobs, completeUpload: dead } },
    { blobs: doneThenKilled },
  ]
  for (const killed of kills) {
    expect(await read(await received(), killed)).toBe(0)
    expect(await get(id)).toMatchObject({ state: 'verifying', error: null })
  }
  // Stored, and killed before the message was deleted.
  const again = await received()
  await verifyUploads(depsWith(), again, dead).catch(() => {})
  expect(await get(id)).toMatchObject({ state: 'complete' })
  expect(await read(await received())).toBe(1)
  expect(await isFile(bytes)).toBe(true)
})

test('a message that comes twice, at once or afterwards, changes nothing', async () => {
  const bytes = fresh()
  const id = await sent(bytes)
  await complete(id)
  const [message] = await received()
  await Promise.all([read([message!]), read([message!])])
  expect(await get(id)).toMatchObject({ state: 'complete' })
  expect(await read([message!])).toBe(1)
  expect(await get(id)).toMatchObject({ state: 'complete', error: null })
  expect(lines.filter(event => event === 'uploads.not_verified')).toEqual([])
})

test('what is wrong with the parts is kept, told to who waits, and can be mended', async () => {
  const bytes = fresh()
  const parts = partsOf(bytes)
  const wrong = [parts[0]!, Buffer.alloc(PART, 7), parts[2]!]
  const id = await sent(bytes, wrong)
  expect(await complete(id)).toMatchObject({ state: 'verifying' })
  const told = () => uploadVerified(depsWith(), { tenantId, uploadId: id as never })
  expect(await told()).toMatchObject({ state: 'verifying' })
  expect(await read(await received())).toBe(1)
  await expect(told()).rejects.toMatchObject({ code: 'digest_mismatch' })
  const failed = await get(id)
  expect(failed).toMatchObject({ state: 'failed', error: { code: 'digest_mismatch' } })
  expect(failed.error?.detail).toContain(sha256(Buffer.concat(wrong)))
  expect(failed.parts).toHaveLength(3)
  await sendPart(id, 2, parts[1]!)
  expect(await get(id)).toMatchObject({ state: 'open', error: null })
  await complete(id)
  await read(await received())
  expect(await get(id)).toMatchObject({ state: 'complete' })
})

test('of an upload that is not whole the missing part and the wrong size are named', async () => {
  const bytes = fresh()
  const parts = partsOf(bytes)
  const cases = [
    { given: [parts[0]!, parts[1]!], code: 'digest_mismatch', says: `${bytes.length} were` },
    { given: [], code: 'not_found', says: 'no parts' },
  ]
  for (const { given, code, says } of cases) {
    const id = await sent(bytes, given)
    await complete(id)
    await read(await received())
    const { state, error } = await get(id)
    expect([state, error?.code]).toEqual(['failed', code])
    expect(error?.detail).toContain(says)
  }
})

test('one that was overtaken says nothing of the parts that came after it', async () => {
  const bytes = fresh()
  const parts = partsOf(bytes)
  const id = await sent(bytes, [parts[0]!, Buffer.alloc(PART, 9), parts[2]!])
  await complete(id)
  const [message] = await received()
  let begun = () => {}
  const isBegun = new Promise<void>(resolve => {
    begun = resolve
  })
  let go = () => {}
  const mayGo = new Promise<void>(resolve => {
    go = resolve
  })
  const slow: Blobs = {
    ...blobs,
    async completeUpload(...given) {
      const outcome = blobs.completeUpload(...given).catch(error => error)
      begun()
      const found = await outcome
      await mayGo
      throw found
    },
  }
  const overtaken = read([message!], { blobs: slow })
  await isBegun
  await read([message!])
  expect(await get(id)).toMatchObject({ state: 'failed' })
  await sendPart(id, 2, parts[1]!)
  await complete(id)
  go()
  await overtaken
  expect(await get(id)).toMatchObject({ state: 'verifying', error: null })
  await read(await received())
  expect(await get(id)).toMatchObject({ state: 'complete' })
})

test('a call that would take too long leaves even a small upload to the queue', async () => {
  const bytes = fresh(1_000)
  const id = await sent(bytes, [bytes])
  const silent: Blobs = { ...blobs, completeUpload: () => new Promise(() => {}) }
  const answered = completeUpload(depsWith({ blobs: silent }), call, { upload_id: id }, 20)
  expect(await answered).toMatchObject({ state: 'verifying' })
  await read(await received())
  expect(await get(id)).toMatchObject({ state: 'complete' })
})

test('who completes again is not asked for twice, and is when the message must have been lost', async () => {
  const id = await sent(fresh())
  for (let again = 0; again < 3; again++) await complete(id)
  expect(await received()).toHaveLength(1)
  await admin.query('truncate queue_messages')
  clock.forward(600_000)
  expect(await complete(id)).toMatchObject({ state: 'verifying' })
  expect(await read(await received())).toBe(1)
  expect(await get(id)).toMatchObject({ state: 'complete' })
})

test('a message that nobody can read, or that names no upload of ours, is not taken', async () => {
  await queue.send('uploads', [
    { body: 'not JSON' },
    { body: '{"tenantId":"ten_x"}' },
    { body: JSON.stringify({ tenantId, uploadId: 'upl_nobody' }) },
  ])
  expect(await read(await received())).toBe(0)
  expect(lines).toEqual(Array(3).fill('uploads.not_verified'))
})
