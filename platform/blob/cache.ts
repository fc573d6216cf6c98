/**
 * Local files for blobs that live elsewhere: a folder of verified copies by digest. A copy is synced
 * before it gets its name, so a name that is there holds what it says, also after a power failure. One that
 * an earlier process left is read once before it is believed: a disk may forget, and a model must not change.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Blobs } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { diskFault, folderMaker, ifMissing, syncFolder, writeSynced } from './disk.ts'
import type { RemoteBlobs } from './wire.ts'
import { isWriterGone, writerTag } from './writer.ts'

/** Copies that were not asked for longest go first when all together have more than `bytesMax`. */
export function withLocalFiles(
  blobs: RemoteBlobs,
  o: { folder: string; bytesMax?: number },
): Blobs {
  const folder = resolve(o.folder)
  const makeFolder = folderMaker(folder)
  const loading = new Map<string, Promise<string>>()
  /** Copies that this process has written, or read in full. */
  const proven = new Set<string>()

  async function load(key: string, sha256: string): Promise<string> {
    const path = join(folder, sha256)
    const part = `${path}~${writerTag()}${randomBytes(8).toString('hex')}`
    try {
      const found = await blobs.get(key)
      if (!found) throw new AppError('not_found', { public: `There is no blob ${key}.` })
      await makeFolder(folder)
      await writeSynced(part, found.body, { sha256 })
      await rename(part, path)
      await syncFolder(folder)
      proven.add(sha256)
    } catch (error) {
      await rm(part, { force: true })
      throw diskFault(error)
    }
    if (o.bytesMax !== undefined) await evict(folder, o.bytesMax, sha256)
    return path
  }

  /** The copy that is there, if it holds what its name says; otherwise a new one. */
  async function provenOrLoaded(key: string, sha256: string, isThere: boolean): Promise<string> {
    const path = join(folder, sha256)
    if (!isThere || (!proven.has(sha256) && (await digestOf(path)) !== sha256)) {
      return load(key, sha256)
    }
    proven.add(sha256)
    await utimes(path, new Date(), new Date()).catch(ifMissing(undefined))
    return path
  }

  return {
    ...blobs,
    async localFile(key) {
      const info = await blobs.head(key)
      if (!info) throw new AppError('not_found', { public: `There is no blob ${key}.` })
      const path = join(folder, info.sha256)
      const there = await stat(path).catch(ifMissing(null))
      const isThere = there?.size === info.size
      const pending = loading.get(info.sha256) ?? provenOrLoaded(key, info.sha256, isThere)
      loading.set(info.sha256, pending)
      return pending.finally(() => loading.delete(info.sha256))
    },
  }
}

async function digestOf(path: string): Promise<string | null> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  } catch (error) {
    return ifMissing(null)(error as NodeJS.ErrnoException)
  }
  return hash.digest('hex')
}

async function evict(folder: string, bytesMax: number, keep: string): Promise<void> {
  const copies = []
  for (const name of await readdir(folder)) {
    const [, writer] = name.split('~')
    // What a killed process was loading.
    if (writer !== undefined && isWriterGone(writer)) await rm(join(folder, name), { force: true })
    const found = await stat(join(folder, name)).catch(ifMissing(null))
    if (found && writer === undefined) copies.push({ name, size: found.size, at: found.mtimeMs })
  }
  let sum = copies.reduce((total, copy) => total + copy.size, 0)
  for (const { name, size } of copies.sort((a, b) => a.at - b.at)) {
    if (sum <= bytesMax) return
    if (name === keep) continue
    await rm(join(folder, name), { force: true })
    sum -= size
  }
}
