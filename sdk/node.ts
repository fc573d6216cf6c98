/** What the client needs of a file system: sources to upload, and a place for results. */
import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, open, rename, unlink } from 'node:fs/promises'
import type { Galley } from './client.ts'
import { GalleyError } from './error.ts'
import type { FileSource } from './upload.ts'

const READ_BYTES = 1024 ** 2

/** A file as a source, open while `work` runs. */
export async function withFile<T>(
  path: string,
  work: (source: FileSource) => Promise<T>,
): Promise<T> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    return await work({
      size,
      sha256: signal => digestOf(file, size, signal),
      read: (start, end) => readSpan(file, start, end),
    })
  } finally {
    await file.close()
  }
}

/** Writes the result of a job beside `path` and then renames it, so that no half result stands there. */
export async function saveResults(
  galley: Galley,
  jobId: string,
  path: string,
  options: { signal?: AbortSignal; onProgress?: (bytes: number) => void } = {},
): Promise<{ path: string; size: number }> {
  const partial = `${path}.${randomUUID().slice(0, 8)}.part`
  const file = await open(partial, 'wx')
  try {
    let size = 0
    for await (const chunk of galley.jobs.results(jobId, options)) {
      await file.writeFile(chunk)
      size += chunk.length
      options.onProgress?.(size)
    }
    await file.sync()
    await file.close()
    await rename(partial, path)
    return { path, size }
  } catch (error) {
    await file.close().catch(() => {})
    await unlink(partial).catch(() => {})
    throw error
  }
}

type SaveOptions = { path: string; sha256?: string; signal?: AbortSignal }
type FileRoute = 'events.segment_content' | 'events.export_rest' | 'inferences.segment_content'

/**
 * Writes the bytes of a reply beside `path` and renames them when they are whole: as long as was said, with
 * the digest that was given or that the reply names. Throws `digest_mismatch`.
 */
export async function saveReply(
  galley: Galley,
  name: FileRoute,
  input: { params?: Record<string, string>; query?: Record<string, string> },
  { path, sha256, signal }: SaveOptions,
): Promise<{ sha256: string; bytes: number; headers: Headers }> {
  const response = await galley.send(name, input, { signal }, reply => reply)
  const expected = sha256 ?? response.headers.get('etag')?.replaceAll('"', '')
  const partial = `${path}.${randomUUID().slice(0, 8)}.part`
  const file = await open(partial, 'wx')
  try {
    const hash = createHash('sha256')
    let bytes = 0
    for await (const chunk of response.body ?? []) {
      hash.update(chunk)
      bytes += chunk.length
      await file.writeFile(chunk)
    }
    const actual = hash.digest('hex')
    if (actual !== expected) {
      throw new GalleyError(
        'digest_mismatch',
        `The file has the SHA-256 ${actual}, not ${expected}: it was cut off or changed on its way. Try again.`,
      )
    }
    await file.sync()
    await file.close()
    await rename(partial, path)
    return { sha256: actual, bytes, headers: response.headers }
  } catch (error) {
    await file.close().catch(() => {})
    await unlink(partial).catch(() => {})
    throw error
  }
}

/** Null: there is no such file. */
export async function digestOfFile(path: string): Promise<string | null> {
  try {
    return await withFile(path, ({ sha256 }) => sha256())
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

async function digestOf(file: FileHandle, size: number, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  for (let at = 0; at < size; at += READ_BYTES) {
    signal?.throwIfAborted()
    hash.update(await readSpan(file, at, Math.min(size, at + READ_BYTES)))
  }
  return hash.digest('hex')
}

async function readSpan(file: FileHandle, start: number, end: number) {
  const bytes = new Uint8Array(end - start)
  for (let at = 0; at < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, at, bytes.length - at, start + at)
    if (bytesRead === 0) throw new Error('The file became shorter while it was read.')
    at += bytesRead
  }
  return bytes
}
