/**
 * Writing that survives a power failure: the file is synced before its name is, and a name counts only
 * when its folder was synced, up to the root.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Bytes } from '#core/deps.ts'
import { AppError } from '#core/error.ts'

const SLICE_BYTES = 1_048_576
const READ_BYTES = 262_144

export type Written = { size: number; sha256: string }

/** Writes a new file and syncs it. Throws `payload_too_large`, `digest_mismatch`; a rest may be left. */
export async function writeSynced(
  path: string,
  body: Bytes,
  limits: { sha256?: string; sizeMax?: number } = {},
): Promise<Written> {
  const file = await open(path, 'wx', 0o444)
  try {
    const hash = createHash('sha256')
    let size = 0
    for await (const piece of slices(body)) {
      size += piece.byteLength
      checkSize(size, limits.sizeMax)
      const writing = writeAll(file, piece)
      // The digest is computed while the disk is busy; a failed write must not go unheard meanwhile.
      writing.catch(() => {})
      hash.update(piece)
      await writing
    }
    const sha256 = hash.digest('hex')
    checkDigest(sha256, limits.sha256)
    await file.sync()
    return { size, sha256 }
  } finally {
    await file.close()
  }
}

export function checkSize(size: number, sizeMax: number | undefined): void {
  if (sizeMax === undefined || size <= sizeMax) return
  throw new AppError('payload_too_large', { public: `More than ${sizeMax} bytes were sent.` })
}

export function checkDigest(found: string, declared: string | undefined): void {
  if (declared === undefined || declared === found) return
  throw new AppError('digest_mismatch', {
    public: `The bytes have the SHA-256 ${found}; ${declared} was declared.`,
  })
}

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  // Windows has no such call; its journal keeps the order of names.
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/**
 * Makes folders and syncs their names. A folder that is there may have been made by a process that has
 * not synced it yet, so each process does so once. Folders are never removed: others may be using them.
 */
export function folderMaker(root: string): (path: string) => Promise<void> {
  const synced = new Set<string>()
  return async path => {
    if (synced.has(path)) return
    await mkdir(path, { recursive: true })
    const made: string[] = []
    for (let at = path; !synced.has(at); at = dirname(at)) {
      await syncFolder(dirname(at))
      made.push(at)
      if (at === root || at === dirname(at)) break
    }
    for (const folder of made) synced.add(folder)
  }
}

/**
 * The bytes of an open file; closes it at the end, at an error, and when the reader leaves early. A chunk is
 * the reader's own, and when it is given back to `next`, the next one may lie in it.
 */
export function readAndClose(
  file: FileHandle,
  range: { start: number; end: number },
): AsyncIterableIterator<Uint8Array> {
  let at = range.start
  const finish = async () => {
    at = range.end
    await file.close()
    return { done: true as const, value: undefined }
  }
  // No generator: one that was never started does not run its `finally`, and the file would stay open.
  return {
    async next(spent?: Uint8Array) {
      if (at >= range.end) return finish()
      const size = Math.min(READ_BYTES, range.end - at)
      const buffer = spent?.length === size ? spent : new Uint8Array(size)
      try {
        const { bytesRead } = await file.read(buffer, 0, buffer.length, at)
        if (bytesRead === 0)
          throw new AppError('internal', { internal: 'blob: file was cut short' })
        at += bytesRead
        return { done: false, value: buffer.subarray(0, bytesRead) }
      } catch (error) {
        await finish()
        throw error
      }
    },
    return: finish,
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

/** A full disk as `insufficient_storage`; every other error as it is. */
export function diskFault(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  return new AppError('insufficient_storage', {
    public: 'There is no space left to store this. Nothing was stored.',
    internal: `blob: ${(error as Error).message}`,
    retryable: true,
    cause: error,
  })
}

/** For `catch`: the value in place of a file that is not there. */
export function ifMissing<T>(value: T): (error: NodeJS.ErrnoException) => T {
  return error => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return value
    throw error
  }
}

async function* slices(body: Bytes): AsyncGenerator<Uint8Array> {
  if (!(body instanceof Uint8Array)) {
    for await (const chunk of body) yield* slices(chunk)
    return
  }
  for (let at = 0; at < body.byteLength; at += SLICE_BYTES) {
    yield body.subarray(at, at + SLICE_BYTES)
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength; ) {
    at += (await file.write(bytes, at, bytes.byteLength - at)).bytesWritten
  }
}
