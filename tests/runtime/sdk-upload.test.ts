import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { Galley } from '#sdk/client.ts'
import { saveResults, withFile } from '#sdk/node.ts'
import { type Answer, type Asked, type Peer, problem, startPeer } from './sdk-peer.ts'

const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const each of undo.splice(0)) await each()
})
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

type Open = { id: string; sha256: string; size: number; parts: Map<number, Buffer> }

/** A server that keeps parts, and loses what `loses` says: the request, or only the answer to it. */
async function partServer(loses: (asked: Asked) => 'request' | 'answer' | null = () => null) {
  const uploads: Open[] = []
  const byKey = new Map<string, Open>()
  const complete = new Map<string, Buffer>()
  /** How often an upload that is completed is shown as `verifying`, and what is found wrong with it then. */
  const verifying = { polls: 0, error: null as { code: string; detail: string } | null }
  let polls = 0
  const failed = new Map<Open, { code: string; detail: string }>()
  const stateOf = (open: Open) => {
    if (polls > 0) return 'verifying'
    if (failed.has(open)) return 'failed'
    return complete.has(open.sha256) ? 'complete' : 'open'
  }
  const shown = (open: Open) => ({
    id: open.id,
    size: open.size,
    state: stateOf(open),
    error: (polls === 0 && failed.get(open)) || null,
    part_bytes_max: 1000,
    parts: [...open.parts].map(([number, part]) => ({
      number,
      size: part.length,
      sha256: sha256(part),
    })),
  })
  const create = ({ headers, body }: Asked): Answer => {
    const known = byKey.get(headers['idempotency-key'] as string)
    const open = known ?? {
      id: `upl_${uploads.length}`,
      ...JSON.parse(String(body)),
      parts: new Map(),
    }
    if (!known) uploads.push(open)
    byKey.set(headers['idempotency-key'] as string, open)
    // A replayed reply is the first one, whatever has happened since.
    return { status: 201, json: { ...shown(open), state: 'open', parts: [] } }
  }
  const answer = (asked: Asked): Answer => {
    const [, , , id, action, number] = asked.path.split('/')
    if (id === undefined) return create(asked)
    const open = uploads.find(each => each.id === id)
    if (!open) return problem(404, 'not_found', 'There is no upload with this id.')
    if (action === 'parts') {
      expect(asked.headers['galley-sha256']).toBe(sha256(asked.body))
      open.parts.set(Number(number), asked.body)
      return {
        json: { number: Number(number), size: asked.body.length, sha256: sha256(asked.body) },
      }
    }
    if (action === 'complete') {
      const numbers = [...open.parts.keys()].sort((a, b) => a - b)
      const whole = Buffer.concat(numbers.map(each => open.parts.get(each)!))
      if (numbers.length === 0 || sha256(whole) !== open.sha256) {
        return problem(422, 'digest_mismatch', 'The bytes do not have the digest.')
      }
      polls = verifying.polls
      if (verifying.error) failed.set(open, verifying.error)
      else {
        failed.delete(open)
        complete.set(open.sha256, whole)
      }
    } else if (polls > 0) polls--
    return { json: shown(open) }
  }
  const peer = await startPeer(asked => {
    const lost = loses(asked)
    if (lost === 'request') return 'drop'
    const said = answer(asked)
    return lost === 'answer' ? 'drop' : said
  })
  undo.push(() => peer.close())
  return { peer, uploads, complete, verifying }
}

function client(peer: Peer): Galley {
  const galley = new Galley({ baseUrl: peer.url, key: 'k' })
  galley.connection.random = () => 0
  return galley
}
const partsSent = (peer: Peer) =>
  peer.asked
    .filter(({ method }) => method === 'PUT')
    .map(({ path }) => Number(path.split('/').at(-1)))

test('a file arrives whole, whichever requests and answers are lost on the way', async () => {
  const loss = fc.constantFrom('request', 'answer', null, null)
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 5000 }),
      fc.integer({ min: 300, max: 1500 }),
      fc.infiniteStream(loss),
      async (bytes, partBytes, losses) => {
        let inRow = 0
        const { peer, complete } = await partServer(() => {
          // Fewer in a row than the client tries, over both of its connections.
          const lost = inRow < 3 ? losses.next().value! : null
          inRow = lost ? inRow + 1 : 0
          return lost
        })
        const stored = await client(peer).upload(bytes, { partBytes })
        expect(stored).toEqual({ sha256: sha256(bytes), size: bytes.length })
        expect(complete.get(stored.sha256)?.equals(bytes)).toBe(true)
      },
    ),
    { numRuns: 40 },
  )
})

test('another process sends only the parts that have not arrived', async () => {
  let broken = true
  const { peer, uploads, complete } = await partServer(({ method, path }) =>
    broken && method === 'PUT' && !/\/[12]$/.test(path) ? 'request' : null,
  )
  const bytes = randomBytes(4500)
  await expect(client(peer).upload(bytes)).rejects.toThrow('network')
  expect([...uploads[0]!.parts.keys()].sort()).toEqual([1, 2])
  broken = false
  peer.asked.length = 0
  const seen: number[] = []
  await client(peer).upload(bytes, { onProgress: ({ sent }) => seen.push(sent) })
  expect(partsSent(peer).sort()).toEqual([3, 4, 5])
  expect(uploads).toHaveLength(1)
  expect(complete.get(sha256(bytes))?.equals(bytes)).toBe(true)
  expect(seen.at(-1)).toBe(4500)
})

test('a file that is there already is not sent again', async () => {
  const { peer } = await partServer()
  const bytes = randomBytes(2000)
  await client(peer).upload(bytes)
  peer.asked.length = 0
  await client(peer).upload(bytes)
  expect(partsSent(peer)).toEqual([])
})

test('parts that were cut to another size are never joined to ours', async () => {
  let broken = true
  const { peer, uploads, complete } = await partServer(({ path }) =>
    broken && path.endsWith('/complete') ? 'request' : null,
  )
  const bytes = randomBytes(3000)
  await expect(client(peer).upload(bytes, { partBytes: 300 })).rejects.toThrow('network')
  broken = false
  await client(peer).upload(bytes, { partBytes: 1000 })
  expect(uploads).toHaveLength(2)
  expect(complete.get(sha256(bytes))?.equals(bytes)).toBe(true)
})

test('an upload that the server has forgotten begins anew', async () => {
  let broken = true
  const { peer, uploads, complete } = await partServer(({ path }) =>
    broken && path.endsWith('/complete') ? 'request' : null,
  )
  const bytes = randomBytes(100)
  await expect(client(peer).upload(bytes)).rejects.toThrow('network')
  broken = false
  uploads[0]!.id = 'gone'
  await client(peer).upload(bytes)
  expect(complete.has(sha256(bytes))).toBe(true)
})

test('a file that is being verified is waited for, and what was found wrong with it is told', async () => {
  const bytes = randomBytes(2_000)
  const seen: (boolean | undefined)[] = []
  const onProgress = ({ isVerifying }: { isVerifying?: boolean }) => void seen.push(isVerifying)
  const { peer, complete, verifying } = await partServer()
  verifying.polls = 2
  await client(peer).upload(bytes, { onProgress })
  expect(complete.has(sha256(bytes))).toBe(true)
  expect(seen.filter(each => each)).toHaveLength(2)
  expect(seen.at(-1)).toBeUndefined()

  const other = randomBytes(2_000)
  verifying.polls = 1
  verifying.error = { code: 'digest_mismatch', detail: 'Part 2 holds other bytes.' }
  const failing = client(peer).upload(other)
  await expect(failing).rejects.toMatchObject({
    code: 'digest_mismatch',
    message: expect.stringContaining('Part 2 holds other bytes.'),
  })
  // The same call then sends what differs: here, nothing does.
  verifying.error = null
  peer.asked.length = 0
  await client(peer).upload(other)
  expect(partsSent(peer)).toEqual([])
  expect(peer.asked.at(-1)!.path).toMatch(/^.v1.uploads.upl_1/)
  expect(complete.has(sha256(other))).toBe(true)
})

test('a file on disk is uploaded without being held in memory whole, and may be empty', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'galley-sdk-'))
  undo.push(() => rm(folder, { recursive: true }))
  for (const bytes of [randomBytes(300_017), Buffer.alloc(0)]) {
    const { peer, complete } = await partServer()
    const path = join(folder, 'file')
    await writeFile(path, bytes)
    await withFile(path, source => client(peer).upload(source))
    expect(complete.get(sha256(bytes))?.equals(bytes)).toBe(true)
    const largest = Math.max(...peer.asked.map(({ body }) => body.length))
    expect(largest).toBeLessThanOrEqual(1000)
  }
})

/** A result of which each connection gives some bytes more and then breaks. */
async function resultServer(bytes: Buffer, step: number, etag: (at: number) => string) {
  const peer = await startPeer(({ headers }) => {
    const at = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0)
    const body = bytes.subarray(at)
    const ranged: Record<string, string> = headers.range
      ? { 'content-range': `bytes ${at}-${bytes.length - 1}/${bytes.length}` }
      : {}
    return {
      status: headers.range ? 206 : 200,
      headers: { etag: etag(at), ...ranged },
      body,
      ...(body.length > step && { cutAfter: step }),
    }
  })
  undo.push(() => peer.close())
  return peer
}

test('a result is taken up where its connection broke, and stands in its file only when whole', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'galley-sdk-'))
  undo.push(() => rm(folder, { recursive: true }))
  const bytes = randomBytes(400_000)
  const peer = await resultServer(bytes, 30_000, () => '"a"')
  const path = join(folder, 'out.jsonl')
  expect(await saveResults(client(peer), 'run_1', path)).toEqual({ path, size: bytes.length })
  expect((await readFile(path)).equals(bytes)).toBe(true)
  expect(peer.asked.length).toBeGreaterThan(10)
})

test('a result that changes while it is read is refused, and leaves no file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'galley-sdk-'))
  undo.push(() => rm(folder, { recursive: true }))
  const peer = await resultServer(randomBytes(100_000), 30_000, at => `"${at}"`)
  const saved = saveResults(client(peer), 'run_1', join(folder, 'out.jsonl'))
  await expect(saved).rejects.toMatchObject({ code: 'digest_mismatch' })
  expect(await readdir(folder)).toEqual([])
})
