/** What the host over `node:sqlite` promises besides, where a Durable Object's own platform stands for it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { RateLease } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { OBJECT_CLASSES, type ObjectClass } from '#platform/objects/classes.ts'
import { type ObjectHost, openObjects } from '#platform/objects/sqlite.ts'

let folder: string
let now = 0
const hosts: ObjectHost[] = []
const clock = { now: () => now }
const log = { info() {}, error() {} }

const counter: ObjectClass = sql => {
  sql.exec('create table if not exists counted (n integer not null)')
  let remembered = total()
  function total() {
    return sql.exec<{ n: number }>('select count(*) as n from counted')[0]!.n
  }
  return {
    add() {
      sql.exec('insert into counted (n) values (1)')
      remembered++
      return remembered
    },
    fail() {
      sql.exec('insert into counted (n) values (1)')
      remembered++
      throw new AppError('conflict')
    },
    total,
    endsItsTransaction: () => sql.exec('commit'),
    runsTwoStatements: () => sql.exec('select 1; delete from counted'),
  }
}

beforeEach(() => {
  now = 1_800_000_000_000
  folder = mkdtempSync(join(tmpdir(), 'galley-objects-'))
})
afterEach(() => {
  for (const host of hosts.splice(0)) host.close()
  rmSync(folder, { recursive: true })
})

function open(openMax?: number): ObjectHost {
  const host = openObjects({ folder, classes: { ...OBJECT_CLASSES, counter }, clock, log, openMax })
  hosts.push(host)
  return host
}

test('in any stretch of time no more is granted than the burst and what came back since', async () => {
  const steps = fc.array(
    fc.record({
      waitMs: fc.integer({ min: 0, max: 3_000 }),
      want: fc.integer({ min: 1, max: 20 }),
    }),
    { minLength: 1, maxLength: 40 },
  )
  const host = open()
  let runs = 0
  const limit = fc.record({
    perS: fc.integer({ min: 1, max: 50 }),
    burst: fc.integer({ min: 1, max: 30 }),
  })
  await fc.assert(
    fc.asyncProperty(limit, steps, async ({ perS, burst }, calls) => {
      const name = `ten_${runs++}`
      const grants: { at: number; granted: number }[] = []
      for (const { waitMs, want } of calls) {
        now += waitMs
        const input = { limit: 'x', perS, burst, want }
        const { granted, retryAfterMs } = (await host.call(
          'tenant',
          name,
          'leaseRate',
          input,
        )) as RateLease
        if (granted === 0) expect(retryAfterMs).toBeGreaterThan(0)
        grants.push({ at: now, granted })
      }
      for (let from = 0; from < grants.length; from++) {
        let sum = 0
        for (let to = from; to < grants.length; to++) {
          sum += grants[to]!.granted
          const backMs = grants[to]!.at - grants[from]!.at
          expect(sum).toBeLessThanOrEqual(burst + (backMs * perS) / 1000 + 1e-6)
        }
      }
    }),
    { numRuns: 60 },
  )
})

test('a clock that is set back neither stops a limit nor opens it', async () => {
  const host = open()
  const lease = (want: number) =>
    host.call('tenant', 'ten_a', 'leaseRate', { limit: 'x', perS: 10, burst: 10, want })
  expect(await lease(10)).toMatchObject({ granted: 10 })
  now -= 3_600_000
  expect(await lease(10)).toMatchObject({ granted: 0, retryAfterMs: 100 })
  now += 500
  expect(await lease(10)).toMatchObject({ granted: 5 })
})

test('a call that fails is undone alone, on disk and in memory', async () => {
  const host = open()
  const calls = ['add', 'fail', 'add'].map(method => host.call('counter', 'a', method, null))
  const [first, failed, second] = await Promise.allSettled(calls)
  expect([first, second]).toMatchObject([{ value: 1 }, { value: 2 }])
  expect(failed).toMatchObject({ reason: { code: 'conflict' } })
  expect(await host.call('counter', 'a', 'total', null)).toBe(2)
})

test('a reply leaves after its commit: what was answered is there for who opens the file next', async () => {
  const host = open()
  await host.call('counter', 'a', 'add', null)
  // A copy of the files as they are now is what a power failure would leave.
  const copy = mkdtempSync(join(tmpdir(), 'galley-objects-'))
  for (const name of readdirSync(join(folder, 'counter'))) {
    writeFileSync(join(copy, name), readFileSync(join(folder, 'counter', name)))
  }
  const db = new DatabaseSync(join(copy, 'a.db'))
  expect(db.prepare('select count(*) as n from counted').get()).toMatchObject({ n: 1 })
  db.close()
  rmSync(copy, { recursive: true })
})

test('more objects than may be open at once keep their state', async () => {
  const host = open(8)
  const names = Array.from({ length: 30 }, (_, i) => `n${i}`)
  for (const name of names) await host.call('counter', name, 'add', null)
  const totals = await Promise.all(names.map(name => host.call('counter', name, 'total', null)))
  expect(totals).toEqual(names.map(() => 1))
})

test('an object cannot end its transaction or slip in a second statement', async () => {
  const host = open()
  await host.call('counter', 'a', 'add', null)
  for (const method of ['endsItsTransaction', 'runsTwoStatements']) {
    await expect(host.call('counter', 'a', method, null)).rejects.toMatchObject({
      code: 'internal',
    })
  }
  expect(await host.call('counter', 'a', 'total', null)).toBe(1)
})

test('a damaged file is named, and the others answer', async () => {
  open().close()
  writeFileSync(join(folder, 'counter', 'bad.db'), 'x'.repeat(8192))
  const host = open()
  const fault = host.call('counter', 'bad', 'add', null)
  await expect(fault).rejects.toThrow(/counter\/bad\.db is damaged .*restore it/)
  expect(await host.call('counter', 'good', 'add', null)).toBe(1)
})

test("another program's database and a newer layout are refused, and left as they are", async () => {
  open().close()
  const foreign = join(folder, 'counter', 'foreign.db')
  new DatabaseSync(foreign).exec('create table theirs (x); pragma user_version = 7')
  const newer = join(folder, 'counter', 'newer.db')
  new DatabaseSync(newer).exec(`pragma application_id = ${0x474c594f}; pragma user_version = 99`)
  const before = [readFileSync(foreign), readFileSync(newer)]
  const host = open()
  await expect(host.call('counter', 'foreign', 'add', null)).rejects.toThrow(
    /foreign\.db is damaged/,
  )
  await expect(host.call('counter', 'newer', 'add', null)).rejects.toMatchObject({
    code: 'conflict',
  })
  expect([readFileSync(foreign), readFileSync(newer)]).toEqual(before)
})

test('two hosts on one folder: the second is refused, the first goes on', async () => {
  const [first, second] = [open(), open()]
  await first.call('counter', 'a', 'add', null)
  await expect(second.call('counter', 'a', 'add', null)).rejects.toMatchObject({
    code: 'unavailable',
  })
  expect(await first.call('counter', 'a', 'add', null)).toBe(2)
})

test('names that are no names reach no file', async () => {
  const host = open()
  for (const name of ['../a', 'A', '', 'a/b', '.a', 'a'.repeat(200)]) {
    await expect(host.call('counter', name, 'add', null)).rejects.toMatchObject({
      code: 'not_found',
    })
  }
  for (const method of ['constructor', 'toString', '__proto__', 'missing']) {
    await expect(host.call('counter', 'a', method, null)).rejects.toMatchObject({
      code: 'not_found',
    })
  }
  await expect(host.call('toString', 'a', 'add', null)).rejects.toMatchObject({ code: 'not_found' })
})
