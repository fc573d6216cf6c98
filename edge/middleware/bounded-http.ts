/** Requests whose bodies are bounded, each and all together, by the memory of what runs the edge. */
import type { HeldBytes } from '#core/held-bytes.ts'
import type { Http, RawHttp } from '../deps.ts'
import type { EdgeMemory } from './engines.ts'

/** Smaller ones are not counted: a thousand of them are held as easily. */
const COUNTED_BYTES_MIN = 65_536

export function boundedHttp(http: RawHttp, { bodyBytesMax }: EdgeMemory, held: HeldBytes): Http {
  return {
    ...http,
    bodyBytesMax,
    body(c, bytesMax) {
      const most = Math.min(bytesMax, bodyBytesMax)
      // Without a length it may become any.
      const length = Number(http.header(c, 'content-length') ?? Number.POSITIVE_INFINITY)
      if (length <= COUNTED_BYTES_MIN) return http.body(c, most)
      return http.body(c, most, bytes => {
        if (bytes > COUNTED_BYTES_MIN) held.hold(c, bytes)
      })
    },
    hold: (c, bytes) => held.hold(c, bytes),
    release: c => held.release(c),
  }
}
