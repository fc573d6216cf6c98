/** What a power failure may take of an object over `node:sqlite`: nothing that was answered. */
import fs, { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import type { ObjectClass } from '#platform/objects/classes.ts'
import { type ObjectHost, openObjects } from '#platform/objects/sqlite.ts'

const clock = { now: () => 1_800_000_000_000 }
const log = { info() {}, error() {} }
const counter: ObjectClass = sql => {
  sql.exec('create table if not exists counted (n integer primary key)')
  const total = () => sql.exec<{ n: number }>('select count(*) as n from counted')[0]!.n
  return {
    add(n) {
      sql.exec('insert into counted values (?)', n as number)
      return total()
    },
    total,
  }
}

/** Files of an object as a disk would show them that has only what was synced. */
const syncedBytes = new Map<number, number>()
/** Syncs wait for this; what it rejects with is what they fail with. */
let disk: Promise<unknown> = Promise.resolve()
let syncs = 0
const real = fs.fdatasync
const folders: string[] = []
const hosts: ObjectHost[] = []

fs.fdatasync = ((fd: number, done: (error: Error | null) => void) => {
  syncs++
  const { ino, size } = fs.fstatSync(fd)
  disk.then(
    () =>
      real(fd, error => {
        if (!error) syncedBytes.set(ino, size)
        done(error)
      }),
    done,
  )
}) as typeof fs.fdatasync
syncBuiltinESMExports()

afterEach(() => {
  disk = Promise.resolve()
  for (const host of hosts.splice(0)) host.close()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'galley-power-'))
  folders.push(folder)
  return folder
}

function open(folder: string): ObjectHost {
  const host = openObjects({ folder, classes: { counter }, clock, log })
  hosts.push(host)
  return host
}

/** A copy of the folder in which the log of the object ends where it was last synced. */
function afterPowerFailure(folder: string): string {
  const copy = newFolder()
  mkdirSync(join(copy, 'counter'))
  for (const name of ['a.db', 'a.db-wal']) {
    const from = join(folder, 'counter', name)
    const to = join(copy, 'counter', name)
    copyFileSync(from, to)
    if (name.endsWith('-wal')) truncateSync(to, syncedBytes.get(statSync(from).ino) ?? 0)
  }
  return copy
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  return (await Promise.race([promise, sleep(20, 'pending')])) === 'pending'
}

test('what was answered before the power failed is there after it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 12 }),
      fc.nat({ max: 30 }),
      async (groups, turns) => {
        const folder = newFolder()
        const host = open(folder)
        await host.call('counter', 'a', 'total', null)
        let answered = 0
        let n = 0
        for (const size of groups) {
          for (let i = 0; i < size; i++) {
            void host.call('counter', 'a', 'add', n++).then(() => answered++)
          }
          await new Promise(resolve => setImmediate(resolve))
        }
        for (let turn = 0; turn < turns; turn++) await new Promise(resolve => setImmediate(resolve))
        const before = answered
        const found = await open(afterPowerFailure(folder)).call('counter', 'a', 'total', null)
        expect(found).toBeGreaterThanOrEqual(before)
      },
    ),
    { numRuns: 30 },
  )
})

test('a reader is not told of what is not on disk yet', async () => {
  const host = open(newFolder())
  expect(await host.call('counter', 'a', 'add', 1)).toBe(1)
  const gate = Promise.withResolvers<void>()
  disk = gate.promise
  const add = host.call('counter', 'a', 'add', 2)
  await new Promise(resolve => setImmediate(resolve))
  const read = host.call('counter', 'a', 'total', null)
  expect(await isPending(Promise.race([add, read]))).toBe(true)
  gate.resolve()
  expect(await Promise.all([add, read])).toEqual([2, 2])
})

test('calls go on while the disk is slow, and share its next sync', async () => {
  const folder = newFolder()
  const host = open(folder)
  await host.call('counter', 'a', 'add', 0)
  const gate = Promise.withResolvers<void>()
  disk = gate.promise
  syncs = 0
  const adds: Promise<unknown>[] = []
  const written: number[] = []
  for (let n = 1; n <= 5; n++) {
    adds.push(host.call('counter', 'a', 'add', n))
    await new Promise(resolve => setImmediate(resolve))
    written.push(statSync(join(folder, 'counter', 'a.db-wal')).size)
  }
  // Each was committed by itself, while the disk had not done with the first.
  expect(new Set(written).size).toBe(5)
  gate.resolve()
  expect(await Promise.all(adds)).toEqual([2, 3, 4, 5, 6])
  expect(syncs).toBe(2)
})

test('a disk that does not take it is told to the caller, and the object goes on from what it holds', async () => {
  const folder = newFolder()
  const host = open(folder)
  await host.call('counter', 'a', 'add', 1)
  disk = Promise.reject(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }))
  disk.catch(() => {})
  await expect(host.call('counter', 'a', 'add', 2)).rejects.toThrow('EIO')
  disk = Promise.resolve()
  const total = await host.call('counter', 'a', 'total', null)
  expect([1, 2]).toContain(total)
  expect(await host.call('counter', 'a', 'add', 3)).toBe((total as number) + 1)
})
