/** What the folder promises beyond the suite: deaths at any step, full disks, many processes, sweeping. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import type { Blobs } from '#core/deps.ts'
import { folderBlobs, sweepFolder } from '#platform/blob/folder.ts'
import { bytesOf, collect, sha256 } from './bytes.ts'

const CRASH = fileURLToPath(new URL('crash.ts', import.meta.url))
const whole = bytesOf(3_000)
const fresh = { size: 3_000, sha256: sha256(whole) }
const old = bytesOf(2_000)
/** Attempts that run side by side, each in a folder of its own. */
const AT_ONCE = 4
/** The step that would give the new blob its name: bytes and pointer are written. */
const RENAME_STEP = 14

type Place = { root: string; blobs: Blobs }
const made: string[] = []
const compileCache = place().root
afterAll(() => {
  for (const root of made) rmSync(root, { recursive: true, force: true })
})

function place(): Place {
  const root = mkdtempSync(join(tmpdir(), 'galley-blobs-'))
  made.push(root)
  return { root, blobs: folderBlobs({ root }) }
}

/** Runs the call in a process of its own; `''` when it was killed. */
async function run(root: string, how: 'kill' | 'full', nth: number, call: string): Promise<string> {
  const child = spawn(process.execPath, [CRASH, root, how, String(nth), call], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { NODE_COMPILE_CACHE: compileCache },
  })
  const [said] = await Promise.all([text(child.stdout), once(child, 'exit')])
  return said
}

/** Lets the call end at its first step on the disk, its second and so on, until one reaches its end. */
async function atEveryStep(
  how: 'kill' | 'full',
  call: string,
  prepare: (at: Place) => Promise<unknown>,
  check: (at: Place, said: string) => Promise<void>,
): Promise<void> {
  const attempt = async (nth: number) => {
    const at = place()
    await prepare(at)
    const said = await run(at.root, how, nth, call)
    await check(at, said)
    return said
  }
  for (let nth = 1; ; nth += AT_ONCE) {
    const said = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, more) => attempt(nth + more)),
    )
    if (said.includes('done')) return
  }
}

/** Whole or absent, whatever happened: never a size or digest that the bytes do not have. */
async function seen({ blobs }: Place): Promise<'none' | 'old' | 'new'> {
  const found = await blobs.get('ten/x')
  if (!found) return 'none'
  const bytes = await collect(found.body)
  expect(sha256(bytes)).toBe(found.info.sha256)
  return found.info.sha256 === fresh.sha256 ? 'new' : 'old'
}

function files({ root }: Place): string[] {
  const all = readdirSync(root, { recursive: true }) as string[]
  return all.filter(name => name.includes('~') && statSync(join(root, name)).isFile())
}

/** Nobody writes any more, so whatever has no name may go. */
function sweep({ root }: Place) {
  return sweepFolder({ root, unnamedMsMax: 0 })
}

const putOld = ({ blobs }: Place) => blobs.put('ten/x', old)

describe('a writer that dies at any step', { timeout: 60_000 }, () => {
  test('leaves the old blob or the new one, and the sweep leaves nothing else', async () => {
    const outcomes = new Set<string>()
    await atEveryStep('kill', 'put', putOld, async (at, said) => {
      outcomes.add(await seen(at))
      if (said === 'done') expect(await seen(at)).toBe('new')
      await sweep(at)
      expect(await seen(at)).not.toBe('none')
      expect(files(at)).toHaveLength(2)
    })
    expect(outcomes).toEqual(new Set(['old', 'new']))
  })

  test('leaves an upload that the next call completes', async () => {
    const putParts = async ({ blobs }: Place) => {
      await blobs.putPart('ten/up', 1, whole.subarray(0, 1_000))
      await blobs.putPart('ten/up', 2, whole.subarray(1_000))
    }
    await atEveryStep('kill', 'complete', putParts, async at => {
      expect(['none', 'new']).toContain(await seen(at))
      expect(await at.blobs.completeUpload('ten/up', 'ten/x', fresh)).toMatchObject(fresh)
      expect(await seen(at)).toBe('new')
      await sweep(at)
      expect(files(at)).toHaveLength(2)
    })
  })

  test('leaves a deleted blob deleted or whole', async () => {
    await atEveryStep('kill', 'delete', putOld, async (at, said) => {
      expect(said === 'done' ? ['none'] : ['none', 'old']).toContain(await seen(at))
      await at.blobs.delete('ten/x')
      await sweep(at)
      expect(files(at)).toEqual([])
    })
  })
})

test('a full disk at any step is told, and the blob stays whole', { timeout: 60_000 }, async () => {
  await atEveryStep('full', 'put', putOld, async (at, said) => {
    expect(said).toBe(said === 'done' ? 'done' : 'insufficient_storage')
    expect(await seen(at)).not.toBe('none')
    // Only the last sync comes after the name is given; before it nothing is left behind.
    if ((await seen(at)) === 'old') expect(files(at)).toHaveLength(2)
  })
})

test('many processes write one key at once, and it stays whole', { timeout: 60_000 }, async () => {
  const at = place()
  await putOld(at)
  const others = Array.from({ length: 4 }, () => run(at.root, 'kill', 0, 'put'))
  const mine = Array.from({ length: 20 }, () => putOld(at))
  const reads = Array.from({ length: 20 }, () => seen(at))
  expect(await Promise.all(others)).toEqual(Array(4).fill('done'))
  expect(await Promise.all([...reads, Promise.all(mine).then(() => 'old')])).not.toContain('none')
  await sweep(at)
  expect(files(at)).toHaveLength(2)
})

test('the sweep spares what a living process writes and takes what a dead one left', async () => {
  const at = place()
  let finish = () => {}
  const paused = new Promise<void>(resolve => {
    finish = resolve
  })
  async function* slowly() {
    yield whole.subarray(0, 1_000)
    await paused
    yield whole.subarray(1_000)
  }
  const writing = at.blobs.put('ten/x', slowly())
  while (files(at).length === 0) await new Promise(resolve => setTimeout(resolve, 5))
  expect(await run(at.root, 'kill', RENAME_STEP, 'put')).toBe('')
  expect(await seen(at)).toBe('none')
  expect(files(at)).toHaveLength(3)
  expect(await sweepFolder({ root: at.root })).toEqual({ removed: 2 })
  expect(files(at)).toHaveLength(1)
  finish()
  expect(await writing).toMatchObject(fresh)
  expect(await seen(at)).toBe('new')
})
