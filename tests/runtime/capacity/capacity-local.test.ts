/** Runners on this machine: real processes, as many as rows of real work call for, and none afterwards. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import * as capacity from '#core/capacity/capacity.ts'
import * as jobs from '#core/jobs/jobs.ts'
import { openLogFile } from '#local/logfile.ts'
import { startPlace } from '#local/place.ts'
import { openPool, type Pool } from '#local/pool/pool.ts'
import { keepSized } from '#local/pool/sizing.ts'
import type { Exit, Running } from '#local/supervisor.ts'
import { newId, type TenantId } from '#schemas/ids.ts'
import { capacityDecisions } from '#schemas/tables/capacity.ts'
import { steps } from '#schemas/tables/jobs.ts'
import { models, modelVersions } from '#schemas/tables/models.ts'
import { callOf, inTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db } = await testDatabase()
const clock = { now: () => Date.now() }
const log = { info: () => {}, error: () => {} }
const deps = { db, clock, log }
const folder = mkdtempSync(join(tmpdir(), 'galley-pool-'))
const SPEC = {
  model: 'm',
  version: 1,
  digest: 'd'.repeat(64),
  input: { sha256: 'e'.repeat(64), size: 100, format: 'jsonl' as const },
}
const MOST = 8
let tenantId: TenantId
let pool: Pool | undefined
const stopping = new AbortController()
mkdirSync(join(folder, 'run'))

beforeAll(async () => {
  tenantId = newId('tenant')
  const tuning = { hardware: 'cpu', threads: 1, batchRows: 100, rowUs: 994, loadMs: 5, curve: [] }
  await inTenant({ db }, tenantId, async ({ tx }) => {
    await tx.insert(models).values({ tenantId, name: 'm', lastNumber: 1 })
    await tx.insert(modelVersions).values({
      tenantId,
      model: 'm',
      id: newId('version'),
      number: 1,
      digest: SPEC.digest,
      state: 'ready',
      manifest: { graph: 'm.onnx', files: [] },
      report: { tuning },
    })
  })
})
afterAll(async () => {
  stopping.abort()
  await pool?.stop(0)
  rmSync(folder, { recursive: true, force: true })
})

const startPool = () =>
  openPool(
    {
      clock,
      log,
      start: (name, signal) =>
        startPlace(
          {
            entry: join(import.meta.dirname, '../local/place.ts'),
            cwd: folder,
            env: { PLACE_NAME: name },
            output: openLogFile(join(folder, `${name}.log`)),
          },
          signal,
        ),
    },
    { least: 0, most: MOST, first: [] },
  )

/** A run of so many shards, each a minute of one runner by what was measured. */
async function queue(shards: number): Promise<string> {
  const plan = { kind: 'inference' as const, first: 'plan' as const, spec: SPEC }
  const next = Array.from({ length: shards }, (_, number) => ({
    kind: 'shard' as const,
    number,
    state: 'queued' as const,
    input: { start: 0, end: 1, row: 0, rows: 60_000 },
  }))
  return inTenant(deps, tenantId, async unit => {
    const job = await jobs.start(unit, callOf(tenantId), { ...plan, expiresInS: 86_400 })
    const [first] = await unit.tx.select().from(steps)
    const stepId = first!.id
    const lease = await jobs.leases.lease(unit, { stepId, runner: 'elsewhere' })
    if (lease.status !== 'leased') throw new Error(lease.status)
    await jobs.leases.complete(unit, { stepId, epoch: lease.epoch, output: {}, next })
    return job.id
  })
}

test('as many processes as the work is worth, one that is killed comes back, and none a while after it is done', async () => {
  pool = startPool()
  const decide = (fleet: capacity.Fleet) => capacity.decideNow(deps, fleet)
  void keepSized({ log, decide }, { pool, everyMs: 100, signal: stopping.signal })
  await vi.waitFor(async () => expect(await decisions()).toHaveLength(1), 20_000)
  expect(Object.keys(pool.pids())).toHaveLength(0)

  const jobId = await queue(40)
  await vi.waitFor(() => expect(Object.keys(pool!.pids())).toHaveLength(MOST), 40_000)

  const killed = pool.pids()['runner-3']!
  process.kill(killed, 'SIGKILL')
  await vi.waitFor(() => {
    expect(pool!.pids()['runner-3']).toBeGreaterThan(0)
    expect(pool!.pids()['runner-3']).not.toBe(killed)
  }, 30_000)

  await inTenant(deps, tenantId, unit => jobs.cancel(unit, callOf(tenantId), { job_id: jobId }))
  await vi.waitFor(() => expect(Object.keys(pool!.pids())).toHaveLength(0), 50_000)

  const kept = await decisions()
  expect(kept.map(({ onDemand }) => onDemand)).toContain(MOST)
  expect(kept.at(-1)!.onDemand).toBe(0)
  for (const { reasons } of kept) expect(reasons.length).toBeGreaterThan(0)
}, 120_000)

test('a runner that is up just when the pool was stopped is stopped too', async () => {
  const asked = Promise.withResolvers<void>()
  const up = Promise.withResolvers<Running>()
  const exited = Promise.withResolvers<Exit>()
  const late = openPool(
    {
      clock,
      log,
      start: () => {
        asked.resolve()
        return up.promise
      },
    },
    { least: 0, most: 1, first: ['runner-0'] },
  )
  await asked.promise
  const stopped = late.stop()
  const stop = async () => exited.resolve({ code: 0, signal: null })
  up.resolve({ pid: 1, exited: exited.promise, stop })
  await stopped
  expect(late.pids()).toEqual({})
})

test('those that left receipts have their turn one after another, and never more than the most at a time', async () => {
  const first = ['runner-9', 'runner-7', 'runner-0', 'runner-4', 'runner-1']
  const started: string[] = []
  let there = 0
  let most = 0
  const few = openPool(
    {
      clock,
      log,
      start: async name => {
        started.push(name)
        most = Math.max(most, ++there)
        const exited = Promise.withResolvers<Exit>()
        let isOver = false
        const stop = async () => {
          if (!isOver) there--
          isOver = true
          exited.resolve({ code: 0, signal: null })
        }
        return { pid: started.length, exited: exited.promise, stop }
      },
    },
    { least: 0, most: 2, first },
  )
  await vi.waitFor(() => expect(started).toEqual(first))
  await few.apply({ desired: { spot: 0, on_demand: 2 }, drain: [] })
  expect(Object.keys(few.pids()).sort()).toEqual(['runner-1', 'runner-4'])
  // The names that are free are those below the most; it is full nevertheless.
  await few.apply({ desired: { spot: 0, on_demand: 5 }, drain: [] })
  expect([most, started.length]).toEqual([2, first.length])
  await few.stop()
  expect(there).toBe(0)
})

async function decisions() {
  return db.system(tx => tx.select().from(capacityDecisions).orderBy(capacityDecisions.id))
}
