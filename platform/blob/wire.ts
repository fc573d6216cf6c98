/** How blobs travel over HTTP: paths and headers that both halves agree on. Web APIs alone. */
import type { Blobs, Bytes } from '#core/deps.ts'

/** Blobs of another place. There are no local files behind a wire. */
export type RemoteBlobs = Omit<Blobs, 'localFile'>

export const SIZE_HEADER = 'x-blob-size'
export const SHA256_HEADER = 'x-blob-sha256'
/** Of a request: what the bytes must have, and how many they may be. */
export const DECLARED_HEADER = 'x-blob-declared-sha256'
export const SIZE_MAX_HEADER = 'x-blob-size-max'
/** Of a request: how many bytes its body must turn out to have. */
export const SIZE_DECLARED_HEADER = 'x-blob-declared-size'
export const BLOB_PATH = '/blob/'
export const UPLOAD_PATH = '/upload/'
export const LIST_PATH = '/list'

/** A stream that pulls one piece at a time and tells the source when its reader leaves. */
export function streamOf(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  if (source instanceof ReadableStream) return source
  const pieces = source[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await pieces.next()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      async cancel() {
        await pieces.return?.()
      },
    },
    { highWaterMark: 0 },
  )
}

/** The pieces of a stream; leaving early cancels it. */
export function piecesOf(
  stream: ReadableStream<Uint8Array> | null,
): AsyncIterableIterator<Uint8Array> {
  const reader = stream?.getReader()
  return {
    async next() {
      const piece = await reader?.read()
      return piece && !piece.done
        ? { done: false, value: piece.value }
        : { done: true, value: undefined }
    },
    async return() {
      await reader?.cancel().catch(() => {})
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

const PIECE_BYTES_FIRST = 65_536

/** Pieces of so many bytes, the last one shorter. Each is held once: `size` says how much is to come in all. */
export async function* inPieces(
  body: Bytes,
  bytesMax: number,
  size?: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>, undefined> {
  let piece = new Uint8Array(Math.min(bytesMax, size ?? PIECE_BYTES_FIRST))
  let filled = 0
  for await (const chunk of body instanceof Uint8Array ? [body] : body) {
    for (let at = 0; at < chunk.byteLength; ) {
      const taken = chunk.subarray(at, at + bytesMax - filled)
      if (filled + taken.byteLength > piece.byteLength) {
        const wider = Math.max(2 * piece.byteLength, filled + taken.byteLength)
        const larger = new Uint8Array(Math.min(bytesMax, wider))
        larger.set(piece.subarray(0, filled))
        piece = larger
      }
      piece.set(taken, filled)
      filled += taken.byteLength
      at += taken.byteLength
      if (filled < bytesMax) continue
      yield piece
      piece = new Uint8Array(bytesMax)
      filled = 0
    }
  }
  if (filled > 0) yield piece.subarray(0, filled)
}
