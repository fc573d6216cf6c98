/** The log for readers of our own: every page of one moment, and the relation that features are computed from. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import type { SQL } from 'drizzle-orm'
import { afterAll, expect, test } from 'vitest'
import type { Tx } from '#core/deps.ts'
import type { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import { logRelation } from '#core/events/sealing/segment.ts'
import { exportRest } from '#functions/segments/exports.ts'
import { openSpool, spoolsIn } from '#functions/segments/spool.ts'
import { newId, type TenantId } from '#schemas/ids.ts'
import { callOf, inTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'
import { eventOf, newScene, TYPE } from './scene.ts'
import { blobsOfTest, HOUR, segmentRows } from './sealed-log.ts'

const { db, admin } = await testDatabase()
const scene = await newScene(db)
const folder = mkdtempSync(join(tmpdir(), 'galley-export-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Page = Awaited<ReturnType<typeof events.exported>>

async function pagesOf(tenantId: TenantId, query: { asOf?: number }, pageEvents: number) {
  const pages: Page[] = []
  for (let after: string | null = null; ; ) {
    const asked: events.ExportQuery = { type: TYPE.type, ...query, after }
    const page = await inTenant({ db }, tenantId, unit => events.exported(unit, asked, pageEvents))
    pages.push(page)
    after = page.next
    if (after === null) return pages
  }
}

test('pages hold each event at each of its entities once, and nothing that came after the first', async () => {
  const tenantId = await scene.newTenant()
  const sent = Array.from({ length: 7 }, (_, i) => {
    const data = { card: `c${i % 2}`, amount: i, ...(i % 3 && { shop: 's' }) }
    return eventOf(tenantId, { id: `e${i}`, data })
  })
  await events.ingest(scene, tenantId, sent)
  await events.ingest(scene, tenantId, [eventOf(tenantId, { id: 'r', retracts: 'e1' })])
  const { rows: placed } = await admin.query(
    'select entity, entity_key, partition, seq, known_at from event_positions where tenant_id = $1',
    [tenantId],
  )
  const sorted = (rows: object[]) => rows.map(row => JSON.stringify(row)).sort()
  const known = placed.map(({ known_at }) => Number(known_at)).sort((a, b) => a - b)
  for (const pageEvents of [1, 3, 100]) {
    const pages = await pagesOf(tenantId, {}, pageEvents)
    const rows = pages.flatMap(page => page.rows)
    const places = rows.map(({ entity, entity_key, partition, seq, known_at }) => ({
      entity,
      entity_key,
      partition,
      seq: String(seq),
      known_at: String(known_at),
    }))
    expect(sorted(places)).toEqual(sorted(placed))
    const middle = known[4]!
    const before = await pagesOf(tenantId, { asOf: middle }, pageEvents)
    const seen = before.flatMap(page => page.rows).map(row => row.known_at!)
    expect(seen.sort((a, b) => a - b)).toEqual(known.filter(at => at <= middle))
  }
  const [first] = await pagesOf(tenantId, {}, 2)
  await events.ingest(scene, tenantId, [
    eventOf(tenantId, { id: 'later', data: { card: 'c0', amount: 1 } }),
  ])
  const asked = { type: TYPE.type, after: first!.next }
  const rest = await inTenant({ db }, tenantId, unit => events.exported(unit, asked))
  expect(rest.rows.some(({ id }) => id === 'later')).toBe(false)
  expect(rest.next).toBeNull()
})

test('what took an event back is filed with it, whatever type it was sent as, and marks it', async () => {
  const tenantId = await scene.newTenant()
  const other = { ...TYPE, type: 'note' }
  await inTenant({ db }, tenantId, unit => events.declare(unit, callOf(tenantId), other))
  const data = { card: 'c', amount: 5 }
  await events.ingest(scene, tenantId, [eventOf(tenantId, { id: 'e', data })])
  const retraction = { ...eventOf(tenantId, { id: 'r', retracts: 'e' }), type: 'note' }
  await events.ingest(scene, tenantId, [retraction])
  const [page] = await pagesOf(tenantId, {}, 100)
  expect(page!.rows.map(({ id, type }) => [id, type])).toEqual([
    ['e', TYPE.type],
    ['r', TYPE.type],
  ])
  const path = join(folder, 'rows.jsonl')
  writeFileSync(path, page!.rows.map(row => `${JSON.stringify(row)}\n`).join(''))
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const relation = logRelation(page!.type, { segments: [], rows: [path] })
  const read = await connection.runAndReadAll(`select * from ${relation}`)
  const knownAt = (id: string) => BigInt(page!.rows.find(row => row.id === id)!.known_at!)
  expect(read.getRowObjects()).toEqual([
    {
      entity: 'card',
      entity_key: 'c',
      event_time: BigInt(page!.rows[0]!.event_time),
      known_at: knownAt('e'),
      seq: 1n,
      retracted_at: knownAt('r'),
      f_card: 'c',
      f_shop: null,
      f_amount: 5n,
    },
  ])
  connection.closeSync()
})

test('of a type without events in the span or behind the seal, an export has a file without rows', async () => {
  const tenantId = await scene.newTenant()
  const other = { ...TYPE, type: 'note' }
  await inTenant({ db }, tenantId, unit => events.declare(unit, callOf(tenantId), other))
  await events.ingest(scene, tenantId, [
    eventOf(tenantId, { id: 'e', data: { card: 'c', amount: 5 } }),
  ])
  const blobs = blobsOfTest()
  for (const query of [{ type: 'note' }, { type: TYPE.type, to: '2020-01-01T00:00:00Z' }]) {
    const { rest } = await inTenant({ db }, tenantId, unit => events.exportPlan(unit, query))
    const file = await events.exportRest({ ...scene, blobs, openSpool }, callOf(tenantId), {
      cursor: rest!,
    })
    expect(file).toMatchObject({ rows: 0, next: null })
    expect(await segmentRows(await blobs.localFile(file.key))).toEqual([])
  }
})

/** The transaction, which stops after so many statements for another's work, or until that waits for it. */
function stoppedAfter(tx: Tx, statements: number, work: () => Promise<unknown>): Tx {
  let left = statements
  return new Proxy(tx, {
    get(target, name) {
      const found = Reflect.get(target, name)
      if (name !== 'execute') return typeof found === 'function' ? found.bind(target) : found
      return async (query: SQL) => {
        if (left-- === 0) await doneOrWaiting(work())
        return target.execute(query)
      }
    },
  })
}

async function doneOrWaiting(work: Promise<unknown>): Promise<void> {
  let isDone = false
  const ended = work.finally(() => {
    isDone = true
  })
  ended.catch(() => {})
  while (!isDone) {
    const { rows } = await admin.query(
      `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    if (rows.length > 0) return
    await Promise.race([ended, new Promise(resolve => setTimeout(resolve, 10))])
  }
}

test('an hour that is sealed while somebody reads is there once, whichever statement it comes between', async () => {
  const sealing = { ...scene, blobs: blobsOfTest(), openSpool }
  for (let statements = 0; statements < 5; statements++) {
    for (const reader of ['pages', 'files'] as const) {
      const tenantId = await scene.newTenant()
      const receivedAt = (scene.clock.now() - 2 * HOUR) * 1_000
      await events.ingest(scene, tenantId, [
        eventOf(tenantId, { id: 'r', retracts: 'e' }, receivedAt),
        eventOf(tenantId, { id: 'e', data: { card: 'c', amount: 5 } }, receivedAt),
      ])
      let sealed: Promise<unknown> = Promise.resolve()
      const seal = () => {
        sealed = events.sealNext(sealing, tenantId)
        return sealed
      }
      const rows = await db.tenant(tenantId, async tx => {
        const unit = { tx: stoppedAfter(tx, statements, seal), clock: scene.clock }
        const about = { type: TYPE.type }
        if (reader === 'pages') {
          const page = await events.exported(unit, about)
          return page.rows.length + page.segments.reduce((sum, each) => sum + each.rows, 0)
        }
        const { segments, rest } = await events.exportPlan(unit, about)
        const sum = segments.reduce((sum, each) => sum + each.rows, 0)
        return sum + (rest === null ? 0 : 2)
      })
      await sealed
      expect([statements, reader, rows]).toEqual([statements, reader, 2])
    }
  }
})

test('files of exports are made one at a time for a tenant, and no tenant waits for another', async () => {
  const [flooding, other] = [await scene.newTenant(), await scene.newTenant()]
  const begun = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const slow = async () => {
    begun.resolve()
    await goOn.promise
    return openSpool()
  }
  const deps = { ...scene, blobs: blobsOfTest(), openSpool, exporting: new Set<TenantId>() }
  const ask = async (tenantId: TenantId, open: typeof openSpool) => {
    await events.ingest(scene, tenantId, [
      eventOf(tenantId, { id: 'e', data: { card: 'c', amount: 5 } }),
    ])
    const { rest } = await inTenant({ db }, tenantId, unit =>
      events.exportPlan(unit, { type: TYPE.type }),
    )
    return exportRest({ ...deps, openSpool: open }, callOf(tenantId), { cursor: rest! })
  }
  const first = ask(flooding, slow)
  await begun.promise
  await expect(ask(flooding, openSpool)).rejects.toMatchObject({ code: 'rate_limited' })
  expect(await ask(other, openSpool)).toMatchObject({ rows: 1 })
  goOn.resolve()
  expect(await first).toMatchObject({ rows: 1 })
  expect(await ask(flooding, openSpool)).toMatchObject({ rows: 1 })
})

test('so many spools are open at once, and the next waits until one is closed', async () => {
  const parent = join(folder, 'spools')
  const open = await spoolsIn(parent)
  const spools = await Promise.all(Array.from({ length: 4 }, open))
  const fifth = open()
  // By then a folder of its own would be there.
  for (const spool of spools) await spool.add([{ type: TYPE.type } as events.LogRow])
  expect(readdirSync(parent)).toHaveLength(4)
  await spools[0]!.close()
  await (await fifth).add([])
  expect(readdirSync(parent)).toHaveLength(4)
  await Promise.all([...spools.slice(1), await fifth].map(spool => spool.close()))
  expect(readdirSync(parent)).toEqual([])
})

test('the plan of an export is short, however many partitions its segments have', async () => {
  const tenantId = await scene.newTenant()
  const receivedAt = (scene.clock.now() - 2 * HOUR) * 1_000
  const sent = Array.from({ length: 2_000 }, (_, i) =>
    eventOf(tenantId, { id: `e${i}`, data: { card: `c${i}`, amount: i } }, receivedAt),
  )
  await events.ingest(scene, tenantId, sent)
  await events.sealNext({ ...scene, blobs: blobsOfTest(), openSpool }, tenantId)
  const plan = await inTenant({ db }, tenantId, unit =>
    events.exportPlan(unit, { type: TYPE.type }),
  )
  expect(plan.segments).toMatchObject([{ events: 2_000, rows: 2_000 }])
  expect(JSON.stringify(plan).length).toBeLessThan(2_000)
})

test('the cursor of an export is short, however many retractions are on their way, and names each of them', async () => {
  const sent = async (count: number) => {
    const tenantId = await scene.newTenant()
    const ids = Array.from({ length: count }, (_, i) => `e${i}`)
    await events.ingest(
      scene,
      tenantId,
      ids.map(id => eventOf(tenantId, { id: `r${id}`, retracts: id })),
    )
    await events.ingest(
      scene,
      tenantId,
      ids.map(id => eventOf(tenantId, { id, data: { card: 'c', amount: 5 } })),
    )
    return tenantId
  }
  const blobs = blobsOfTest()
  const tenantId = await sent(400)
  const { rest } = await inTenant({ db }, tenantId, unit =>
    events.exportPlan(unit, { type: TYPE.type }),
  )
  expect(rest!.length).toBeLessThanOrEqual(1_500)
  const file = await events.exportRest({ ...scene, blobs, openSpool }, callOf(tenantId), {
    cursor: rest!,
  })
  const ids = (await segmentRows(await blobs.localFile(file.key))).map(({ id }) => id)
  expect(new Set(ids).size).toBe(800)
  const many = await sent(501)
  await expect(
    inTenant({ db }, many, unit => events.exportPlan(unit, { type: TYPE.type })),
  ).rejects.toMatchObject({ code: 'conflict', retryable: true })
})

test('a segment of another tenant is answered as one that never existed', async () => {
  const [owner, spy] = [await scene.newTenant(), await scene.newTenant()]
  const receivedAt = (scene.clock.now() - 2 * HOUR) * 1_000
  const data = { card: 'c', amount: 5 }
  await events.ingest(scene, owner, [eventOf(owner, { id: 'e', data }, receivedAt)])
  await events.sealNext({ ...scene, blobs: blobsOfTest(), openSpool }, owner)
  const { segments } = await inTenant({ db }, owner, unit =>
    events.exportPlan(unit, { type: TYPE.type }),
  )
  const fileFor = (tenantId: TenantId, segment_id: string) =>
    inTenant({ db }, tenantId, unit => events.segmentFile(unit, { segment_id }))
  const refusal = (segment_id: string) =>
    fileFor(spy, segment_id).catch(({ code, public: text }: AppError) => ({ code, text }))
  const { id, bytes } = segments[0]!
  expect((await fileFor(owner, id)).size).toBe(bytes)
  expect(await refusal(id)).toEqual(await refusal(newId('segment')))
  expect(await refusal(id)).toMatchObject({ code: 'not_found' })
})

test('a type that nobody declared, and a cursor of something else, are refused', async () => {
  const tenantId = await scene.newTenant()
  const refused = (query: events.ExportQuery) =>
    inTenant({ db }, tenantId, unit => events.exported(unit, query)).catch((e: AppError) => e.code)
  expect(await refused({ type: 'gone' })).toBe('not_found')
  expect(await refused({ type: TYPE.type, after: 'x' })).toBe('invalid_cursor')
})
