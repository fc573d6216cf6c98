/** The channel between router and runner: frames arrive whole and in order, however the stream cuts them. */
import { once } from 'node:events'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FRAME } from '#gpu-runners/online/frames.ts'
import { inferHead, readInfer, readReply, replyHead } from '#gpu-runners/online/messages.ts'
import { FRAME_BYTES_MAX, openChannel } from '#platform/channel/channel.ts'
import { newId } from '#schemas/ids.ts'

/** One end of a stream whose other end is the test: what is written, and what comes in. */
function endOf(onWrite: (chunk: Buffer) => void): Duplex {
  return new Duplex({
    read() {},
    write(chunk, _, done) {
      onWrite(chunk)
      done()
    },
  })
}

type Frame = { type: number; id: number; payload: Buffer }
function reader() {
  const frames: Frame[] = []
  const ended = Promise.withResolvers<Error | undefined>()
  const stream = endOf(() => {})
  openChannel(stream, {
    frame: (type, id, payload) => frames.push({ type, id, payload }),
    end: ended.resolve,
  })
  return { stream, frames, ended: ended.promise }
}

async function written(
  frames: { type: number; id: number; parts: Uint8Array[] }[],
): Promise<Buffer> {
  const chunks: Buffer[] = []
  const channel = openChannel(
    endOf(chunk => chunks.push(Buffer.from(chunk))),
    { frame() {}, end() {} },
  )
  for (const { type, id, parts } of frames) channel.send(type, id, parts)
  channel.flush()
  await new Promise(resolve => setImmediate(resolve))
  return Buffer.concat(chunks)
}

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  // Around the size over which a part is written and not copied, and over a page.
  fc
    .tuple(fc.constantFrom(16_383, 16_384, 16_385, 65_536, 70_000), fc.nat(255))
    .map(([size, byte]) => new Uint8Array(size).fill(byte)),
)
const frame = fc.record({
  type: fc.constantFrom(...Object.values(FRAME)),
  id: fc.nat(0xffffffff),
  parts: fc.array(bytes, { maxLength: 3 }),
})

test('a stream that broke before it became a channel ends it', async () => {
  const stream = endOf(() => {})
  stream.destroy()
  await once(stream, 'close')
  const ended = Promise.withResolvers<Error | undefined>()
  openChannel(stream, { frame() {}, end: ended.resolve })
  expect(await ended.promise).toBe(undefined)
})

test('frames of any size, cut anywhere, arrive whole and in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(frame, { maxLength: 8 }),
      fc.infiniteStream(fc.nat(50_000)),
      async (frames, cuts) => {
        const stream = await written(frames)
        const { stream: into, frames: got } = reader()
        for (let at = 0; at < stream.length; ) {
          const size = Math.max(1, cuts.next().value)
          into.push(Buffer.from(stream.subarray(at, at + size)))
          at += size
          await new Promise(resolve => setImmediate(resolve))
        }
        expect(got.map(({ type, id }) => ({ type, id }))).toEqual(
          frames.map(({ type, id }) => ({ type, id })),
        )
        got.forEach(({ payload }, i) => {
          expect(payload.equals(Buffer.concat(frames[i]!.parts))).toBe(true)
        })
      },
    ),
    { numRuns: 60 },
  )
})

test('frames that come byte by byte arrive whole', async () => {
  const parts = [new TextEncoder().encode('{"hello":"world"}')]
  const stream = await written([1, 2, 3].map(id => ({ type: FRAME.infer, id, parts })))
  const { stream: into, frames } = reader()
  for (const byte of stream) into.push(Buffer.from([byte]))
  await new Promise(resolve => setImmediate(resolve))
  expect(frames.map(({ id, payload }) => [id, payload.toString()])).toEqual(
    [1, 2, 3].map(id => [id, '{"hello":"world"}']),
  )
})

test('a payload stays what it was when the next chunks have come', async () => {
  const stream = await written([
    { type: FRAME.infer, id: 1, parts: [new Uint8Array(100).fill(1)] },
    { type: FRAME.infer, id: 2, parts: [new Uint8Array(100_000).fill(2)] },
  ])
  const { stream: into, frames } = reader()
  for (let at = 0; at < stream.length; at += 64)
    into.push(Buffer.from(stream.subarray(at, at + 64)))
  await new Promise(resolve => setImmediate(resolve))
  expect(frames[0]!.payload.equals(Buffer.alloc(100, 1))).toBe(true)
  expect(frames[1]!.payload.equals(Buffer.alloc(100_000, 2))).toBe(true)
})

test('a large frame is put together once, not again with each chunk of it', async () => {
  // Joined anew with each of its 512 chunks it would cost 256 times its size in copies.
  const size = 32 * 2 ** 20
  const header = Buffer.alloc(9)
  header.writeUInt32LE(size + 5, 0)
  header[4] = FRAME.infer
  const { stream: into, frames } = reader()
  const concat = Buffer.concat
  let copied = 0
  Buffer.concat = (list, length) => {
    for (const one of list) copied += one.length
    return concat(list, length)
  }
  try {
    into.push(header)
    for (let at = 0; at < size; at += 65_536) into.push(Buffer.alloc(65_536, 3))
    await new Promise(resolve => setImmediate(resolve))
  } finally {
    Buffer.concat = concat
  }
  expect(frames).toHaveLength(1)
  expect(frames[0]!.payload.length).toBe(size)
  expect(copied).toBeLessThan(2 * size)
})

test('a frame that is too short or too long ends the stream, and nothing after it is read', async () => {
  for (const length of [0, 4, FRAME_BYTES_MAX + 1, 0xffffffff]) {
    const { stream, frames, ended } = reader()
    const broken = Buffer.alloc(9)
    broken.writeUInt32LE(length, 0)
    const good = await written([{ type: FRAME.warm, id: 1, parts: [Buffer.from('[]')] }])
    stream.push(Buffer.concat([broken, good]))
    expect(await ended).toMatchObject({ message: expect.stringContaining('frame of') })
    expect(frames).toEqual([])
    expect(stream.destroyed).toBe(true)
  }
})

test('a stream that ends in the middle of a frame ends the channel once, and the half frame is dropped', async () => {
  const { stream, frames, ended } = reader()
  stream.push(Buffer.from([100, 0, 0, 0, 1]))
  await new Promise(resolve => setImmediate(resolve))
  stream.destroy()
  await ended
  expect(frames).toEqual([])
})

const requestId = fc.constant(null).map(() => newId('request'))
const count = fc.option(fc.nat(0x7fffffff))

test('the heads of requests and replies survive the wire', () => {
  fc.assert(
    fc.property(
      fc.nat(0xffffffff),
      fc.nat(2 ** 45),
      count,
      requestId,
      fc.uint8Array(),
      (context, deadline, jsonLength, id, body) => {
        const head = { context, deadline, jsonLength, requestId: id }
        const read = readInfer(Buffer.concat([inferHead(head), body]))
        expect(read.head).toEqual(head)
        expect(read.body.equals(Buffer.from(body))).toBe(true)
      },
    ),
  )
  fc.assert(
    fc.property(
      fc.string({ maxLength: 500, unit: 'grapheme' }),
      count,
      fc.uint8Array(),
      (line, jsonLength, body) => {
        const about = { jsonLength, receiptId: 'rcp_0123456789', computeUs: 7, made: 0xfedcba98 }
        const head = { ...about, line }
        const read = readReply(Buffer.concat([replyHead(head), body]))
        expect(read.line.toString()).toBe(line)
        expect(read.head).toEqual(about)
        expect(read.body.equals(Buffer.from(body))).toBe(true)
      },
    ),
  )
})
