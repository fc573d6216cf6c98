/** Blobs in a folder of this machine: any number of processes at once, durable at every acknowledgement. */
import { opendir, readFile, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Blobs } from '#core/deps.ts'
import { ifMissing } from './disk.ts'
import { blobFiles } from './files.ts'
import { checkKey, withCheckedKeys } from './key.ts'
import { uploads } from './upload.ts'
import { isWriterGone } from './writer.ts'

/** The same folder may be given to many processes. One of them calls `sweepFolder` when it starts. */
export function folderBlobs(o: { root: string }): Blobs {
  const root = resolve(o.root)
  const files = blobFiles(join(root, 'blobs'))
  return {
    ...withCheckedKeys(files),
    ...uploads(files, blobFiles(join(root, 'uploads'))),
    async localFile(key) {
      checkKey(key)
      return files.path(key)
    },
  }
}

/** Longer than any writer takes from one piece to the next, or from the last piece to the name. */
const UNNAMED_MS_MAX = 3_600_000

/**
 * Removes files that no pointer names: at once those of a writer that is gone, the others (whoever
 * replaced or deleted them died) after a time in which no living writer leaves its file alone.
 */
export async function sweepFolder(o: {
  root: string
  unnamedMsMax?: number
}): Promise<{ removed: number }> {
  const { unnamedMsMax = UNNAMED_MS_MAX } = o
  let removed = 0
  for await (const { folder, name } of filesUnder(resolve(o.root))) {
    const [key, writer] = name.split('~')
    if (!writer) continue
    const path = join(folder, name)
    const ageMs = Date.now() - ((await stat(path).catch(() => null))?.mtimeMs ?? Date.now())
    if (!isWriterGone(writer) && ageMs < unnamedMsMax) continue
    // Only its writer could still name the file, and will not: what we read now stays true.
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
