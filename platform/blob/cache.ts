/**
 * Local files for blobs that live elsewhere: a folder of verified copies by digest. A copy is synced
 * before it gets its name, so a name that is there holds what it says, also after a power failure.
 */
import { randomBytes } from 'node:crypto'
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
    } catch (error) {
      await rm(part, { force: true })
      throw diskFault(error)
    }
    if (o.bytesMax !== undefined) await evict(folder, o.bytesMax, sha256)
    return path
  }

  return {
    ...blobs,
    async localFile(key) {
      const info = await blobs.head(key)
      if (!info) throw new AppError('not_found', { public: `There is no blob ${key}.` })
      const path = join(folder, info.sha256)
      const there = await stat(path).catch(ifMissing(null))
      if (there?.size === info.size) {
        await utimes(path, new Date(), new Date()).catch(ifMissing(undefined))
        return path
      }
      const pending = loading.get(info.sha256) ?? load(key, info.sha256)
      loading.set(info.sha256, pending)
      return pending.finally(() => loading.delete(info.sha256))
    },
  }
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
