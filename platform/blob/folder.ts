/** Blobs in a folder of this machine: any number of processes at once, durable at every acknowledgement. */
import { opendir, readFile, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Blobs } from '#core/deps.ts'
import { ifMissing } from './disk.ts'
import { blobFiles } from './files.ts'
import { checkKey, checkPrefix } from './key.ts'
import { uploads } from './upload.ts'
import { isAbandoned } from './writer.ts'

/** The same folder may be given to many processes. One of them calls `sweepFolder` when it starts. */
export function folderBlobs(o: { root: string }): Blobs {
  const root = resolve(o.root)
  const files = blobFiles(join(root, 'blobs'))
  return {
    ...uploads(files, blobFiles(join(root, 'uploads'))),
    async put(key, body, options) {
      checkKey(key)
      return files.put(key, body, options)
    },
    async get(key, range) {
      checkKey(key)
      return files.get(key, range)
    },
    async head(key) {
      checkKey(key)
      return files.head(key)
    },
    async delete(key) {
      checkKey(key)
      return files.delete(key)
    },
    async list(prefix, options) {
      checkPrefix(prefix)
      return files.list(prefix, options)
    },
    async localFile(key) {
      checkKey(key)
      return files.path(key)
    },
  }
}

/** Removes files that no pointer names and whose writer is gone; safe beside living writers. */
export async function sweepFolder(o: { root: string }): Promise<{ removed: number }> {
  let removed = 0
  for await (const { folder, name } of filesUnder(resolve(o.root))) {
    const [key, writer] = name.split('~')
    if (!writer) continue
    const path = join(folder, name)
    const ageMs = Date.now() - ((await stat(path).catch(() => null))?.mtimeMs ?? Date.now())
    if (!isAbandoned(writer, ageMs)) continue
    // Only its writer could still name the file, and that one is gone: what we read now stays true.
    const pointer = await readFile(join(folder, `${key}~`), 'utf8').catch(ifMissing(''))
    if (pointer.includes(`"${name}"`)) continue
    await rm(path, { force: true })
    removed++
  }
  return { removed }
}

async function* filesUnder(folder: string): AsyncGenerator<{ folder: string; name: string }> {
  const entries = await opendir(folder).catch(ifMissing(null))
  for await (const entry of entries ?? []) {
    if (entry.isDirectory()) yield* filesUnder(join(folder, entry.name))
    else yield { folder, name: entry.name }
  }
}
