/** Large bodies at both edges: each bounded by itself, all of them by what the edge may hold. */
import { createServer, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { type Context, Hono } from 'hono'
import { afterAll, describe, expect, test } from 'vitest'
import type { AppError } from '#core/error.ts'
import { HeldBytes } from '#core/held-bytes.ts'
import type { RawHttp } from '#edge/deps.ts'
import { boundedHttp } from '#edge/middleware/bounded-http.ts'
import { EDGE_ENGINES } from '#edge/middleware/engines.ts'
import { bodyOf } from '#edge/routes/oip.ts'
import { webHttp } from '#edge/web-http.ts'
import { nodeHttp, nodeListener } from '#local/places/node-http.ts'
import { signedBlobs } from '#platform/blob/signed.ts'

const MIB = 1024 ** 2
const MEMORY = { bodyBytesMax: 2 * MIB, heldBytesMax: 4 * MIB }
const closing: (() => void)[] = []
afterAll(() => {
  for (const close of closing) close()
})

type Answer = { status: number; retryAfterS?: number; size?: number; sum?: number }
/** `declares: false` sends it without a length. */
type Ask = (pieces: AsyncIterable<Uint8Array>, size: number, how?: How) => Promise<Answer>
type How = { declares?: boolean; coding?: string }

/** An app that holds what it has read until it is let go. */
function appOf(raw: RawHttp) {
  const held = new HeldBytes(MEMORY.heldBytesMax)
  const http = boundedHttp(raw, MEMORY, held)
  let gate = Promise.resolve()
  async function answer(c: Context): Promise<Response> {
    try {
      const body = await bodyOf(http, c, 64 * MIB)
      await gate
      return Response.json({ size: body.length, sum: body.reduce((a, b) => a + b, 0) })
    } catch (error) {
      const { status, retryAfterS } = error as AppError
      return Response.json({ retryAfterS }, { status })
    } finally {
      http.release(c)
    }
  }
  return {
    app: new Hono().post('/', answer),
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>()
      gate = promise
      return resolve
    },
    hasRoomFor(bytes: number) {
      const probe = {}
      try {
        held.hold(probe, bytes)
        return true
      } catch {
        return false
      } finally {
        held.release(probe)
      }
    },
  }
}

const EDGES = {
  async web() {
    const { app, ...edge } = appOf(webHttp)
    const ask: Ask = async (pieces, size, { declares = true, coding } = {}) => {
      const headers = new Headers(coding ? { 'content-encoding': coding } : {})
      if (declares) headers.set('content-length', String(size))
      const body = ReadableStream.from(pieces)
      const init = { method: 'POST', headers, body, duplex: 'half' } as RequestInit
      const reply = await app.fetch(new Request('http://edge/', init))
      return { status: reply.status, ...((await reply.json()) as object) }
    }
    return { ask, ...edge }
  },
  async node() {
    const { app, ...edge } = appOf(nodeHttp)
    const server = createServer(nodeListener((request, env) => app.fetch(request, env)))
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    closing.push(
      () => server.closeAllConnections(),
      () => server.close(),
    )
    const { port } = server.address() as AddressInfo
    const ask: Ask = (pieces, size, { declares = true, coding } = {}) =>
      new Promise((resolve, reject) => {
        const headers = {
          ...(declares && { 'content-length': size }),
          ...(coding && { 'content-encoding': coding }),
        }
        const request = send({ port, host: '127.0.0.1', method: 'POST', headers, agent: false })
        request.on('error', reject)
        request.on('response', async reply => {
          resolve({ status: reply.statusCode!, ...JSON.parse(await text(reply)) })
          request.destroy()
        })
        const write = async () => {
          for await (const piece of pieces) if (!request.destroyed) request.write(piece)
          request.end()
        }
        write().catch(reject)
      })
    return { ask, ...edge }
  },
}

async function* ones(size: number, pieceBytes = 100_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < size; at += pieceBytes) {
    yield new Uint8Array(Math.min(pieceBytes, size - at)).fill(1)
  }
}

describe.each(Object.entries(EDGES))('large bodies on %s', async (_, open) => {
  const { ask, hold, hasRoomFor } = await open()

  test('a body is whole, of whatever size and in whatever pieces it comes', async () => {
    for (const size of [0, 1, 65_536, 65_537, MIB, 2 * MIB]) {
      for (const declares of [true, false]) {
        for (const pieceBytes of [70_000, 3 * MIB]) {
          const answer = await ask(ones(size, pieceBytes), size, { declares })
          expect(answer).toEqual({ status: 200, size, sum: size })
        }
      }
    }
  })

  test('one that is larger than the edge takes is refused, declared or not, packed or not', async () => {
    const size = 2 * MIB + 1
    expect(await ask(ones(size), size)).toMatchObject({ status: 413 })
    expect(await ask(ones(size), size, { declares: false })).toMatchObject({ status: 413 })
    const packed = await new Response(
      ReadableStream.from(ones(size)).pipeThrough(new CompressionStream('gzip')),
    ).bytes()
    const answer = await ask(ReadableStream.from([packed]), packed.length, { coding: 'gzip' })
    expect(answer).toMatchObject({ status: 413 })
  })

  test('those that are too many together are told to come again, and taken when others have gone', async () => {
    const letGo = hold()
    const size = 1.5 * MIB
    const first = [ask(ones(size), size), ask(ones(size), size)]
    await expect.poll(() => hasRoomFor(size)).toBe(false)
    await expect.poll(() => hasRoomFor(MIB + 1)).toBe(false)
    expect(await ask(ones(size), size)).toEqual({ status: 503, retryAfterS: 1 })
    first.push(ask(ones(100), 100))
    letGo()
    expect((await Promise.all(first)).map(({ status }) => status)).toEqual([200, 200, 200])
    await expect.poll(() => ask(ones(size), size)).toMatchObject({ status: 200, size })
  })
})

test('what an isolate may hold has room for each body that it takes, with a copy beside it, and for a part', () => {
  const { bodyBytesMax, heldBytesMax } = EDGE_ENGINES.workers
  expect(heldBytesMax).toBeGreaterThanOrEqual(2 * bodyBytesMax)
  expect(heldBytesMax).toBeGreaterThanOrEqual(32 * MIB)
})

describe('a part without a digest, where it is held to be signed for', () => {
  const held = new HeldBytes(2 * MIB)
  const stored: Uint8Array[] = []
  const blobs = signedBlobs({
    sign: async ({ key }) => ({ url: `http://blobs/${key}`, headers: {} }),
    join: async () => null,
    held,
    async fetch(request) {
      stored.push(await request.bytes())
      return new Response()
    },
  })
  const put = (size: number, declared?: number) =>
    blobs.putPart('ten/up', 1, ones(size), { size: declared, sizeMax: 1.5 * MIB })

  test('is stored whole, and refused where it is not as long as was declared', async () => {
    await put(MIB, MIB)
    await put(MIB)
    expect(stored.map(({ length }) => length)).toEqual([MIB, MIB])
    await expect(put(MIB - 1, MIB)).rejects.toMatchObject({ code: 'invalid_request' })
    await expect(put(MIB + 1, MIB)).rejects.toMatchObject({ code: 'invalid_request' })
    await expect(put(1.5 * MIB + 1)).rejects.toMatchObject({ code: 'payload_too_large' })
    expect(stored).toHaveLength(2)
  })

  test('is counted for as long as it is held, whatever becomes of it', async () => {
    const both = await Promise.allSettled([put(1.5 * MIB, 1.5 * MIB), put(MIB, MIB)])
    expect(both).toMatchObject([
      { status: 'fulfilled' },
      { status: 'rejected', reason: { code: 'unavailable', retryable: true, retryAfterS: 1 } },
    ])
    await put(1.5 * MIB, 1.5 * MIB)
    expect(() => held.hold({}, 2 * MIB)).not.toThrow()
  })
})
