/**
 * Blobs as files. The bytes of `a/b` are in a file `a/b~<writer>` that nobody knows of until the small
 * pointer file `a/b~`, replaced by a rename, names it together with its size and digest. So a reader sees
 * the old blob or the new one, `head` never hashes, and a crash leaves nothing but nameless files.
 */
import { randomBytes } from 'node:crypto'
import { open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { BlobInfo } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import {
  diskFault,
  folderMaker,
  ifMissing,
  readAndClose,
  syncFolder,
  type Written,
  writeSynced,
} from './disk.ts'
import { cutRange, type PlainBlobs } from './key.ts'
import { writerTag } from './writer.ts'

/** In no key: what follows it in a file's name is ours. */
const MARK = '~'
const LIST_MAX = 1_000
type Pointer = Written & { file: string }

/** The store and its paths. Keys are taken as they are: whoever calls has checked them. */
export function blobFiles(root: string): PlainBlobs & { path(key: string): Promise<string> } {
  const makeFolder = folderMaker(root)
  const pointerPath = (key: string) => join(root, `${key}${MARK}`)

  async function put(key: string, body: Parameters<PlainBlobs['put']>[1], limits = {}) {
    const pointer = pointerPath(key)
    const data = newName(pointer)
    try {
      await makeFolder(dirname(pointer))
      const written = await writeSynced(data, body, limits)
      if (!(await publish(pointer, data, written))) await rm(data)
      return { key, ...written }
    } catch (error) {
      await removeUnlessNamed(pointer, data)
      throw diskFault(error)
    }
  }

  async function openData(key: string) {
    const pointer = pointerPath(key)
    for (let last = ''; ; ) {
      const found = await readPointer(pointer)
      if (!found) return null
      const path = join(dirname(pointer), found.file)
      const file = await open(path, 'r').catch(ifMissing(null))
      if (file) return { found, file, path }
      // The blob was replaced between the two looks, unless the pointer still says the same.
      if (found.file === last) throw damaged(path, 'is missing')
      last = found.file
    }
  }

  return {
    put,
    async get(key, range) {
      const opened = await openData(key)
      if (!opened) return null
      const { found, file, path } = opened
      try {
        const { size } = await file.stat()
        if (size !== found.size) throw damaged(path, `has ${size} bytes instead of ${found.size}`)
        const body = readAndClose(file, cutRange(size, range))
        return { info: { key, size, sha256: found.sha256 }, body }
      } catch (error) {
        await file.close()
        throw error
      }
    },
    async head(key) {
      const found = await readPointer(pointerPath(key))
      return found && { key, size: found.size, sha256: found.sha256 }
    },
    async delete(key) {
      const pointer = pointerPath(key)
      const found = await readPointer(pointer)
      if (!found) return
      await rm(pointer, { force: true })
      await syncFolder(dirname(pointer))
      await rm(join(dirname(pointer), found.file), { force: true })
    },
    async list(prefix, { after = '', max = LIST_MAX } = {}) {
      const out: BlobInfo[] = []
      for await (const key of keysUnder(root, '', prefix, after)) {
        if (out.length >= max) break
        const found = await readPointer(pointerPath(key))
        if (found) out.push({ key, size: found.size, sha256: found.sha256 })
      }
      return out
    },
    async path(key) {
      const opened = await openData(key)
      if (!opened) throw new AppError('not_found', { public: `There is no blob ${key}.` })
      await opened.file.close()
      return opened.path
    },
  }
}

/**
 * Lets the pointer name the new file, durably. False when it already names the same bytes: those stay,
 * so that a repeated put does not pull the file from under its readers.
 */
async function publish(pointer: string, data: string, written: Written): Promise<boolean> {
  const folder = dirname(pointer)
  // A damaged pointer is repaired by a new one.
  const before = await readPointer(pointer).catch(ifDamaged)
  if (before?.sha256 === written.sha256 && before.size === written.size) {
    const there = await open(join(folder, before.file), 'r').catch(ifMissing(null))
    if (there) {
      await there.close()
      await syncFolder(folder)
      return false
    }
  }
  const next = newName(pointer)
  const text = JSON.stringify({ ...written, file: basename(data) })
  try {
    await writeSynced(next, Buffer.from(text))
    await syncFolder(folder)
    await rename(next, pointer)
  } catch (error) {
    await rm(next, { force: true })
    throw error
  }
  await syncFolder(folder)
  if (before) await rm(join(folder, before.file), { force: true })
  return true
}

/** After an error the pointer decides: a failure past the rename leaves a blob that is named. */
async function removeUnlessNamed(pointer: string, data: string): Promise<void> {
  const named = await readPointer(pointer).then(
    found => found?.file === basename(data),
    () => true,
  )
  // What cannot be told or removed now is for the sweep; the first error is the one to hear of.
  if (!named) await rm(data, { force: true }).catch(() => {})
}

async function readPointer(path: string): Promise<Pointer | null> {
  const text = await readFile(path, 'utf8').catch(ifMissing(null))
  if (text === null) return null
  try {
    const { size, sha256, file } = JSON.parse(text) as Pointer
    if (size >= 0 && sha256.length === 64 && basename(file) === file) return { size, sha256, file }
  } catch {}
  throw damaged(path, 'is not a pointer of the blob store')
}

/** Keys in order. A folder's keys sort as its name with `/`, a file's as its name. */
async function* keysUnder(
  folder: string,
  at: string,
  prefix: string,
  after: string,
): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(ifMissing([]))
  const names = entries.flatMap(entry => {
    if (entry.isDirectory()) return [`${entry.name}/`]
    return entry.name.endsWith(MARK) ? [entry.name.slice(0, -1)] : []
  })
  for (const name of names.sort(byBytes)) {
    const key = at + name
    if (!name.endsWith('/')) {
      if (key.startsWith(prefix) && key > after) yield key
    } else if (
      (key.startsWith(prefix) || prefix.startsWith(key)) &&
      (key > after || after.startsWith(key))
    ) {
      yield* keysUnder(join(folder, name), key, prefix, after)
    }
  }
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

function newName(pointer: string): string {
  return `${pointer}${writerTag()}${randomBytes(8).toString('hex')}`
}

function ifDamaged(error: unknown): null {
  if (error instanceof AppError) return null
  throw error
}

function damaged(path: string, what: string): AppError {
  return new AppError('internal', { internal: `The blob store is damaged: ${path} ${what}.` })
}
