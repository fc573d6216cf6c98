/** Training sets as jobs: what reads saw, the same bytes for ever, once in the ledger, whoever dies. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, expect, test } from 'vitest'
import * as blobKeys from '#core/blob-keys.ts'
import type { Blobs } from '#core/deps.ts'
import type { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import * as features from '#core/features/features.ts'
import * as jobs from '#core/jobs/jobs.ts'
import { LEASE_MS } from '#core/jobs/lease-times.ts'
import { sets } from '#core/training/training.ts'
import { openSpool } from '#functions/segments/spool.ts'
import type { Control } from '#gpu-runners/control.ts'
import { makeSet } from '#gpu-runners/features/job.ts'
import type { StepId, TenantId } from '#schemas/ids.ts'
import { files } from '#schemas/tables/models.ts'
import { callOf, inTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'
import { eventOf, newScene, TYPE } from '../events/scene.ts'
import { blobsOfTest, HOUR } from '../events/sealed-log.ts'

const { db, admin } = await testDatabase()
const scene = { ...(await newScene(db)), blobs: blobsOfTest(), openSpool }
// Days of the future have no tables: what follows moves the clock by hours, from a whole one.
scene.clock.forward(-20 * 24 * HOUR - (scene.clock.now() % HOUR))
const scratch = mkdtempSync(join(tmpdir(), 'galley-set-jobs-'))
mkdirSync(join(scratch, 'work'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
const never = new AbortController().signal
const nothing = () => {}

const unitOf = <T>(tenantId: TenantId, work: Parameters<typeof inTenant<T>>[2]) =>
  inTenant({ db, clock: scene.clock }, tenantId, work)

const iso = (ms: number) => new Date(ms).toISOString()
const CARDS = ['c0', 'c1', 'c2']

/** Some days of events, of which some are late, sent twice or taken back. */
async function tenantWithLog(): Promise<TenantId> {
  const tenantId = await scene.newTenant()
  const call = callOf(tenantId)
  await unitOf(tenantId, async unit => {
    const definition = {
      entity: 'card',
      event_type: TYPE.type,
      features: {
        n: { agg: 'count' as const, window: '2h' },
        spent: { agg: 'sum' as const, of: 'amount', window: '2h' },
        last: { agg: 'last' as const, of: 'amount' },
      },
    }
    await features.applyView(unit, call, { view: 'spending', ...definition })
    await features.applyService(unit, call, { service: 'fraud', features: ['spending:*'] })
  })
  return tenantId
}

async function play(tenantId: TenantId, from: number, rounds: number): Promise<void> {
  for (let i = from; i < from + rounds; i++) {
    const lateMs = i % 5 === 0 ? 40 * 60_000 : 0
    const sent = [0, 1].map(j => ({
      id: `e${i}-${j}`,
      data: { card: CARDS[(i + j * 2) % 3], amount: i * 10 + j, shop: 's' },
      time: iso(scene.clock.now() - lateMs - j),
    }))
    const retracts = i % 4 === 3 ? [{ id: `r${i}`, retracts: `e${i - 2}-0` }] : []
    await events.ingest(
      scene,
      tenantId,
      [...sent, ...retracts].map(raw => eventOf(tenantId, raw, scene.clock.now() * 1_000)),
    )
    scene.clock.forward(17 * 60_000)
  }
}

async function seal(tenantId: TenantId): Promise<void> {
  while (await events.sealNext(scene, tenantId));
}

type Fact = {
  card: string
  time: number
  known: number
  seq: number
  amount: number
  undone: number
}

/** The log as a list, by a way that shares nothing with how sets are made. */
async function factsOf(tenantId: TenantId): Promise<Fact[]> {
  const { rows } = await admin.query(
    `select p.entity_key as card, p.event_time as time, p.known_at as known, p.seq,
       (e.data->>'amount')::int as amount,
       (select min(q.known_at) from events x join event_positions q on q.key = x.key
         where x.retracts = e.key and q.entity = 'card') as undone
     from event_positions p join events e on e.key = p.key
     where p.tenant_id = $1 and p.entity = 'card' and e.retracts is null`,
    [tenantId],
  )
  return rows.map(row => ({
    card: row.card,
    time: Number(row.time),
    known: Number(row.known),
    seq: Number(row.seq),
    amount: row.amount,
    undone: row.undone === null ? Number.POSITIVE_INFINITY : Number(row.undone),
  }))
}

type Question = { card: string; timestamp: number; label: number }
type Row = { label: number; n: number; spent: number | null; last: number | null }

function naive(facts: Fact[], spine: Question[], asServed: boolean): Row[] {
  return spine.map(({ card, timestamp: t, label }) => {
    const seen = facts.filter(
      fact =>
        fact.card === card &&
        fact.time < t &&
        fact.known - fact.time <= 2 * HOUR * 1_000 &&
        (asServed
          ? fact.known <= t && !(fact.undone <= t)
          : fact.undone === Number.POSITIVE_INFINITY),
    )
    const within = seen.filter(fact => fact.time >= t - 2 * HOUR * 1_000)
    const newest = seen.toSorted((a, b) => a.time - b.time || a.seq - b.seq).at(-1)
    const spent = within.reduce((sum, { amount }) => sum + amount, 0)
    return {
      label,
      n: within.length,
      spent: within.length > 0 ? spent : null,
      last: newest?.amount ?? null,
    }
  })
}

function spineAround(facts: Fact[]): Question[] {
  const times = facts.flatMap(({ time, known }) => [time, time + 1, known, known - 1])
  return times.map((timestamp, i) => ({ card: CARDS[i % 3]!, timestamp, label: i }))
}

async function uploaded(tenantId: TenantId, spine: object[]): Promise<string> {
  const bytes = Buffer.from(spine.map(row => `${JSON.stringify(row)}\n`).join(''))
  const digest = await crypto.subtle.digest('SHA-256', bytes)
  const sha256 = Buffer.from(digest).toString('hex')
  await scene.blobs.put(blobKeys.file(tenantId, sha256), bytes)
  await unitOf(tenantId, ({ tx }) =>
    tx.insert(files).values({ tenantId, sha256, size: bytes.length }).onConflictDoNothing(),
  )
  return sha256
}

type Wanted = Partial<Parameters<typeof sets.create>[2]>

async function created(tenantId: TenantId, spine: object[], more: Wanted = {}) {
  const sha256 = await uploaded(tenantId, spine)
  const input = {
    service: 'fraud',
    spine: { sha256, format: 'jsonl' as const },
    mode: 'as_served' as const,
    statuses: false,
    expires_in_s: 86_400,
    ...more,
  }
  const job = await unitOf(tenantId, unit => sets.create(unit, callOf(tenantId), input))
  const { rows } = await admin.query('select id from steps where run_id = $1', [job.id])
  return { job: job as Shown, stepId: rows[0].id as StepId }
}
type Shown = Extract<jobs.ShownJob, { kind: 'training_set' }>

/** What the functions answer to a runner, without the wire. */
const control: Pick<Control, 'insist'> = {
  insist: async <T>(_: string, input: unknown) => {
    const { tenantId, ...query } = input as events.ExportQuery & { tenantId: TenantId }
    return (await unitOf(tenantId, unit => events.exported(unit, query, 5))) as T
  },
}
type Deps = Parameters<typeof makeSet>[0]
const deps: Deps = { blobs: scene.blobs, control, log: scene.log, scratch: join(scratch, 'work') }

async function leased(tenantId: TenantId, stepId: StepId, runner: string) {
  const assignment = await unitOf(tenantId, async unit => {
    const reply = await jobs.leases.lease(unit, { stepId, runner })
    return reply.status === 'leased' ? sets.assignment(unit, reply) : null
  })
  return assignment!
}

async function done(tenantId: TenantId, stepId: StepId, of: Deps = deps) {
  const assignment = await leased(tenantId, stepId, 'runner-0')
  const outcome = await makeSet(of, assignment, never, nothing)
  const { epoch } = assignment
  await unitOf(tenantId, unit => sets.finish(unit, { stepId, epoch, outcome }))
  return outcome
}

const shown = async (tenantId: TenantId, id: string) =>
  (await unitOf(tenantId, unit => jobs.get(unit, { job_id: id }))) as Shown

async function rowsOf(key: string): Promise<Row[]> {
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const path = await scene.blobs.localFile(key)
  const result = await connection.runAndReadAll(
    `select label, spending__n as n, spending__spent as spent, spending__last as last from read_parquet('${path}')`,
  )
  connection.closeSync()
  const plain = (value: unknown) => (value === null ? null : Number(value))
  return result
    .getRowObjects()
    .map(row =>
      Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)])),
    ) as Row[]
}

test('a set has what reads saw, of sealed hours and of what is not sealed, in the order of its labels', async () => {
  const tenantId = await tenantWithLog()
  await play(tenantId, 0, 12)
  scene.clock.forward(2 * HOUR)
  await seal(tenantId)
  await play(tenantId, 12, 8)
  const facts = await factsOf(tenantId)
  const spine = spineAround(facts)
  for (const mode of ['as_served', 'as_corrected'] as const) {
    const { job, stepId } = await created(tenantId, spine, { mode })
    const outcome = await done(tenantId, stepId)
    expect(outcome.lineage[TYPE.type]).toMatchObject({ version: 1 })
    expect(outcome.lineage[TYPE.type]!.segments).toBeGreaterThan(0)
    expect(outcome.lineage[TYPE.type]!.openRows).toBeGreaterThan(0)
    expect(await rowsOf(outcome.key)).toEqual(naive(facts, spine, mode === 'as_served'))
    const { sha256 } = (await scene.blobs.head(outcome.key))!
    expect(await shown(tenantId, job.id)).toMatchObject({
      state: 'done',
      progress: 1,
      rows_total: spine.length,
      rows_done: spine.length,
      result: { size: outcome.size, sha256 },
    })
  }
})

test('the same moment has the same bytes, after hours were sealed and more has come', async () => {
  const tenantId = await tenantWithLog()
  await play(tenantId, 0, 10)
  const spine = spineAround(await factsOf(tenantId))
  const { job, stepId } = await created(tenantId, spine)
  // Late, and after the moment: neither may be seen.
  await play(tenantId, 10, 4)
  const first = await done(tenantId, stepId)
  scene.clock.forward(3 * HOUR)
  await seal(tenantId)
  await play(tenantId, 20, 3)
  const moment = { as_of: job.as_of, log_position: job.log_position }
  const again = await created(tenantId, spine, moment)
  const second = await done(tenantId, again.stepId)
  expect(second.sha256).toBe(first.sha256)
  expect(second.lineage[TYPE.type]).toMatchObject({ openRows: 0 })
  const now = await done(tenantId, (await created(tenantId, spine)).stepId)
  expect(now.rows).toBe(first.rows)
})

/** A runner that dies at its n-th await of something outside of it. */
function mortal(dies: number): Deps {
  let left = dies
  const around = async <T>(work: () => Promise<T>): Promise<T> => {
    if (left-- <= 0) throw new Error('the runner has died')
    const result = await work()
    if (left-- <= 0) throw new Error('the runner has died')
    return result
  }
  const blobs: Blobs = {
    ...scene.blobs,
    put: (...args) => around(() => scene.blobs.put(...args)),
    localFile: key => around(() => scene.blobs.localFile(key)),
  }
  return { ...deps, blobs, control: { insist: (...args) => around(() => control.insist(...args)) } }
}

test('a runner that dies at any await leaves nothing that counts, and the next makes the set, billed once', async () => {
  const tenantId = await tenantWithLog()
  await play(tenantId, 0, 3)
  scene.clock.forward(2 * HOUR)
  await seal(tenantId)
  await play(tenantId, 3, 2)
  const spine = spineAround(await factsOf(tenantId))
  const { job, stepId } = await created(tenantId, spine)
  let deaths = 0
  for (let dies = 0; ; dies++) {
    const assignment = await leased(tenantId, stepId, 'runner-1')
    const made = await makeSet(mortal(dies), assignment, never, nothing).catch(() => null)
    expect(readdirSync(deps.scratch)).toEqual([])
    if (made) break
    deaths++
    expect(await shown(tenantId, job.id)).toMatchObject({ state: 'running', result: null })
  }
  // How many awaits there are depends on how the pages of the log fall; fewer than these cannot do it.
  expect(deaths).toBeGreaterThanOrEqual(6)
  // The last of them made it and died before it could say so; another takes over.
  scene.clock.forward(LEASE_MS + 1)
  const stale = await leased(tenantId, stepId, 'runner-1')
  scene.clock.forward(LEASE_MS + 1)
  const assignment = await leased(tenantId, stepId, 'runner-2')
  const outcome = await makeSet(deps, assignment, never, nothing)
  const finish = (epoch: number) =>
    unitOf(tenantId, unit => sets.finish(unit, { stepId, epoch, outcome }))
  await expect(finish(stale.epoch)).rejects.toMatchObject({ code: 'stale_epoch' })
  await finish(assignment.epoch)
  await finish(assignment.epoch)
  const { rows } = await admin.query(
    `select r.rows::int, c.kind, c.model, r.bytes_out::int as bytes from receipts r
     join receipt_contexts c on c.id = r.context where r.tenant_id = $1`,
    [tenantId],
  )
  const receipt = { kind: 'training_set', model: 'fraud', bytes: outcome.size }
  expect(rows).toEqual([{ ...receipt, rows: spine.length }])
  const values = naive(await factsOf(tenantId), spine, true)
  expect(await rowsOf(outcome.key)).toEqual(values)
}, 120_000)

test('a segment that is replaced between the list and the file is asked for again, not taken for a fault of the labels', async () => {
  const tenantId = await tenantWithLog()
  await play(tenantId, 0, 3)
  scene.clock.forward(2 * HOUR)
  await seal(tenantId)
  const { stepId } = await created(tenantId, spineAround(await factsOf(tenantId)))
  const assignment = await leased(tenantId, stepId, 'runner-1')
  const replaced = async (key: string) => {
    await deps.blobs.delete(key)
    return deps.blobs.localFile(key)
  }
  const blobs = { ...deps.blobs, localFile: replaced }
  const fault = makeSet({ ...deps, blobs }, assignment, never, nothing)
  await expect(fault).rejects.toMatchObject({ code: 'unavailable', retryable: true })
}, 60_000)

test('one that is canceled while it is made is dropped', async () => {
  const tenantId = await tenantWithLog()
  await play(tenantId, 0, 2)
  const { job, stepId } = await created(tenantId, [{ card: 'c0', timestamp: iso(0), label: 1 }])
  const assignment = await leased(tenantId, stepId, 'runner-0')
  const { epoch } = assignment
  const progress = { rowsTotal: 10, rowsDone: 4 }
  const beat = () =>
    unitOf(tenantId, unit => jobs.leases.heartbeat(unit, { stepId, epoch, progress }))
  await beat()
  expect(await shown(tenantId, job.id)).toMatchObject({
    rows_total: 10,
    rows_done: 4,
    progress: 0.4,
  })
  await unitOf(tenantId, unit => jobs.cancel(unit, callOf(tenantId), { job_id: job.id }))
  await expect(beat()).rejects.toMatchObject({ code: 'stale_epoch' })
  const lost = new AbortController()
  const making = makeSet(deps, assignment, lost.signal, nothing)
  lost.abort()
  await expect(making).rejects.toBe(lost.signal.reason)
  expect(readdirSync(deps.scratch)).toEqual([])
  expect(await shown(tenantId, job.id)).toMatchObject({ state: 'canceled', result: null })
})

test('what cannot be asked is refused when the job is created', async () => {
  const tenantId = await tenantWithLog()
  const spine = [{ card: 'c0', timestamp: iso(0) }]
  const refused = async (more: Wanted) => {
    const error = (await created(tenantId, spine, more).catch(error => error)) as AppError
    return [error.code, error.errors?.[0]?.pointer, error.public]
  }
  expect(await refused({ service: 'other' })).toEqual([
    'invalid_body',
    '/service',
    'There is no feature service "other".',
  ])
  expect(await refused({ version: 7 })).toEqual([
    'invalid_body',
    '/version',
    'There is no feature service "fraud" with the version 7.',
  ])
  const later = await refused({ as_of: iso(scene.clock.now() + 1_000) })
  expect(later.slice(0, 2)).toEqual(['invalid_body', '/as_of'])
  expect((await refused({ log_position: 1_000_000 }))[2]).toContain('1000000 is yet to come')
  const missing = { sha256: 'a'.repeat(64), format: 'jsonl' as const }
  expect((await refused({ spine: missing }))[1]).toBe('/spine/sha256')
})
