/** Copies of blobs on a runner's disk: within their bound, and never believed for their name alone. */
import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { withLocalFiles } from '#platform/blob/cache.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { temporaryFolder } from '../local/process.ts'

const BYTES = 1_000
const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** A store with some blobs, and what a process that starts now keeps of them. */
async function newStore(count: number) {
  const root = temporaryFolder()
  const store = folderBlobs({ root: join(root, 'blobs') })
  const blobs = Array.from({ length: count }, (_, i) => Buffer.alloc(BYTES, i + 1))
  for (const [i, bytes] of blobs.entries()) await store.put(`ten/${i}`, bytes)
  const folder = join(root, 'copies')
  const started = (bytesMax?: number) => withLocalFiles(store, { folder, bytesMax })
  return { blobs, folder, started }
}

test('a copy that an earlier process left is used again, and one that has changed is not', async () => {
  const { blobs, folder, started } = await newStore(2)
  const first = started()
  const [kept, changed] = [await first.localFile('ten/0'), await first.localFile('ten/1')]
  // Of the same size: only its bytes tell.
  await writeFile(changed, Buffer.alloc(BYTES, 99))
  const next = started()
  for (const [i, path] of [kept, changed].entries()) {
    expect(await next.localFile(`ten/${i}`)).toBe(path)
    expect(digest(await readFile(path))).toBe(digest(blobs[i]!))
  }
  expect(await readdir(folder)).toHaveLength(2)
})

test('copies stay within their bytes, and those that are asked for are whole', async () => {
  const { blobs, folder, started } = await newStore(6)
  const copies = started(3 * BYTES)
  for (const i of [0, 1, 2, 3, 4, 5, 0, 3]) {
    expect(digest(await readFile(await copies.localFile(`ten/${i}`)))).toBe(digest(blobs[i]!))
    expect((await readdir(folder)).length).toBeLessThanOrEqual(3)
  }
})
