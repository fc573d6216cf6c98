/** The blobs that a job reads: they are there, or something is wrong on our side. */
import type { Blobs } from '#core/deps.ts'
import { AppError } from '#core/error.ts'

/** Its bytes. Throws `internal` where there is none. */
export async function opened(
  blobs: Pick<Blobs, 'get'>,
  key: string,
  range?: { start: number; end: number },
): Promise<AsyncIterable<Uint8Array>> {
  const blob = await blobs.get(key, range)
  if (!blob) throw new AppError('internal', { internal: `blob ${key} of a job is not there` })
  return blob.body
}

/** One after another. */
export async function* concatenated(
  blobs: Pick<Blobs, 'get'>,
  keys: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (const key of keys) {
    for await (const chunk of await opened(blobs, key)) {
      signal.throwIfAborted()
      yield chunk
    }
  }
}

/** `read` gives `work` a chunk at a time, null at the end. What `work` leaves unread is closed behind it. */
export async function withChunks(
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  work: (read: () => Promise<Uint8Array | null>) => Promise<void>,
): Promise<void> {
  const chunks = body[Symbol.asyncIterator]()
  try {
    await work(async () => {
      signal.throwIfAborted()
      const { done, value } = await chunks.next()
      return done ? null : value
    })
  } finally {
    await chunks.return?.()
  }
}
