/** Requests by Web standards alone: for Workers, and for tests of the app. */
import type { Context } from 'hono'
import { joined } from '#core/bytes.ts'
import { AppError } from '#core/error.ts'
import type { RawHttp } from './deps.ts'

export const webHttp: RawHttp = {
  header: (c, name) => c.req.header(name),
  async body(c, bytesMax, held) {
    const declared = c.req.header('content-length')
    if (declared !== undefined) {
      refuseTooLong(Number(declared), bytesMax)
      held?.(Number(declared))
      return filled(webHttp.stream(c), Number(declared))
    }
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of webHttp.stream(c)) {
      size += chunk.length
      refuseTooLong(size, bytesMax)
      // What is put together stands beside its pieces for a moment.
      held?.(2 * size)
      chunks.push(chunk)
    }
    return joined(chunks)
  },
  async *stream(c: Context) {
    const reader = c.req.raw.body?.getReader()
    if (!reader) return
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value as Uint8Array
    }
  },
  reply(_, status, headers, body) {
    // Without it a Worker packs what is named as packed, a second time.
    const init = { status, headers, encodeBody: 'manual' as const }
    return new Response(body as string | Uint8Array<ArrayBuffer>, init)
  },
  departed: c => c.req.raw.signal,
}

/** So many bytes, held once; a body of one piece is that piece. */
async function filled(body: AsyncIterable<Uint8Array>, size: number): Promise<Uint8Array> {
  let whole: Uint8Array | null = null
  let at = 0
  for await (const chunk of body) {
    if (chunk.length === size) return chunk
    whole ??= new Uint8Array(size)
    if (at + chunk.length <= size) whole.set(chunk, at)
    at += chunk.length
  }
  if (at === size) return whole ?? new Uint8Array()
  throw new AppError('invalid_request', {
    public: `The body has ${at} bytes, and its Content-Length says ${size}.`,
  })
}

export function refuseTooLong(bytes: number, bytesMax: number): void {
  if (bytes <= bytesMax) return
  throw new AppError('payload_too_large', {
    public: `The body has more than ${bytesMax} bytes, the most that this route takes.`,
  })
}
