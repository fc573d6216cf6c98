/** Requests by Web standards alone: for Workers, and for tests of the app. */
import type { Context } from 'hono'
import { AppError } from '#core/error.ts'
import type { Http } from './deps.ts'

export const webHttp: Http = {
  header: (c, name) => c.req.header(name),
  async body(c, bytesMax) {
    refuseTooLong(Number(c.req.header('content-length') ?? 0), bytesMax)
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of webHttp.stream(c)) {
      size += chunk.length
      refuseTooLong(size, bytesMax)
      chunks.push(chunk)
    }
    if (chunks.length === 1) return chunks[0]!
    const whole = new Uint8Array(size)
    let at = 0
    for (const chunk of chunks) {
      whole.set(chunk, at)
      at += chunk.length
    }
    return whole
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

export function refuseTooLong(bytes: number, bytesMax: number): void {
  if (bytes <= bytesMax) return
  throw new AppError('payload_too_large', {
    public: `The body has more than ${bytesMax} bytes, the most that this route takes.`,
  })
}
