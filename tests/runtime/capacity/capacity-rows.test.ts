/** What is read of work: each step once, by what was measured for its version. */
import { eq } from 'drizzle-orm'
import { beforeEach, expect, test } from 'vitest'
import { decideNow, type Fleet } from '#core/capacity/capacity.ts'
import { readWork } from '#core/capacity/rows.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as tenants from '#core/tenants/tenants.ts'
import { newId, type StepId, type TenantId } from '#schemas/ids.ts'
import { capacityDecisions } from '#schemas/tables/capacity.ts'
import { models, modelVersions } from '#schemas/tables/models.ts'
import { callOf, handClock, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db } = await testDatabase()
const clock = handClock()
const spec = (hardware?: string) => ({
  model: 'm',
  version: 1,
  digest: 'd'.repeat(64),
  input: { sha256: 'e'.repeat(64), size: 100, format: 'jsonl' as const },
  ...(hardware && { hardware }),
})
let tenantId: TenantId

beforeEach(async () => {
  tenantId = newId('tenant')
  const tuning = { hardware: 'cpu', threads: 1, batchRows: 100, rowUs: 994, loadMs: 5, curve: [] }
  const of = { tenantId, model: 'm', digest: 'd', manifest: { graph: 'm.onnx', files: [] } }
  await inTenant({ db }, tenantId, async ({ tx }) => {
    await tx.insert(models).values({ tenantId, name: 'm', lastNumber: 2 })
    await tx.insert(modelVersions).values([
      { ...of, id: newId('version'), number: 1, state: 'ready', report: { tuning } },
      { ...of, id: newId('version'), number: 2, state: 'validating' },
    ])
  })
})

const begin = (hardware?: string) =>
  inTenant({ db, clock }, tenantId, unit =>
    jobs.start(unit, callOf(tenantId), {
      kind: 'inference',
      first: 'plan',
      spec: spec(hardware),
      expiresInS: 100,
    }),
  )
const lease = (stepId: StepId) =>
  inTenant({ db, clock }, tenantId, unit =>
    jobs.leases.lease(unit, { stepId, runner: 'runner-0', hardware: 'cpu' }),
  )
async function ours(hardware: string) {
  const work = await db.system(tx => readWork(tx, { classes: [hardware], now: clock.now() }))
  const of = <T extends { tenantId: string }>(all: readonly T[]) =>
    all.filter(one => one.tenantId === tenantId)
  return { waiting: of(work.waiting), leases: of(work.leases) }
}

test('a step waits, or is under way, or waits again when its lease has lapsed; never two of them', async () => {
  await begin()
  const { rows } = await db.system(tx => tx.execute(`select id, tenant_id from steps`))
  const { id } = rows.find(row => row.tenant_id === tenantId) as { id: StepId }
  const [validation, plan] = (await ours('cpu')).waiting
  expect(validation).toMatchObject({ steps: 1, dueInS: null })
  expect(plan).toMatchObject({ steps: 1, workS: 5, dueInS: 100 })

  const leased = await lease(id)
  if (leased.status !== 'leased') throw new Error(leased.status)
  expect(await ours('cpu')).toMatchObject({
    waiting: [validation],
    leases: [{ runner: 'runner-0' }],
  })

  clock.forward(60_000)
  expect((await ours('cpu')).leases).toEqual([])
  expect((await ours('cpu')).waiting).toHaveLength(2)
})

test('shards by the time that was measured for a row', async () => {
  await begin()
  const { rows } = await db.system(tx => tx.execute(`select id, tenant_id from steps`))
  const { id } = rows.find(row => row.tenant_id === tenantId) as { id: StepId }
  const leased = await lease(id)
  if (leased.status !== 'leased') throw new Error(leased.status)
  const next = [1_000, 3_000].map((rows, number) => ({
    kind: 'shard' as const,
    number,
    state: 'queued' as const,
    input: { start: 0, end: 1, row: 0, rows },
  }))
  await inTenant({ db, clock }, tenantId, unit =>
    jobs.leases.complete(unit, { stepId: id, epoch: leased.epoch, output: {}, next }),
  )
  expect((await ours('cpu')).waiting[1]).toMatchObject({ steps: 2, workS: 4, longestS: 3 })
})

test('work that asks for a class is that class alone', async () => {
  await begin('gpu')
  expect((await ours('cpu')).waiting).toHaveLength(1)
  expect((await ours('gpu')).waiting).toHaveLength(1)
  expect((await ours('gpu')).waiting[0]).toMatchObject({ steps: 1, workS: 5 })
})

const log = { info: () => {}, error: () => {} }
/** An empty pool. */
function fleetOf(hardware: string, ceiling = 4): Fleet {
  const market = { usdPerHour: 0.07, interruptionsPerHour: 0, billedLeastS: 0 }
  const costs = { waitUsdPerHour: 1, missedUsd: 1 }
  return {
    hardware,
    runners: [],
    coldStartsS: [2],
    markets: { spot: null, on_demand: market },
    bounds: { floor: 1, ceiling, ...costs, tenantRunnersMax: ceiling, tenants: {} },
  }
}

test('the work of a tenant calls for no more runners than its operator lets it, and again for all when it may', async () => {
  const hardware = 'limited'
  tenantId = (await newTenant(db)).tenantId
  for (let run = 0; run < 12; run++) await begin(hardware)
  const limit = (runners: number | null) =>
    inTenant({ db, clock }, tenantId, unit =>
      tenants.limit(unit, callOf(tenantId), { tenant_id: tenantId, runners }),
    )
  const needed = async () => {
    const { need, reasons } = await decideNow({ db, clock, log }, fleetOf(hardware, 12))
    return { runners: need.runners, isBounded: reasons.join(' ').includes('tenants call for no') }
  }
  const { runners: free } = await needed()
  expect(free).toBeGreaterThan(3)
  await limit(3)
  expect(await needed()).toEqual({ runners: 3, isBounded: true })
  await limit(null)
  expect(await needed()).toEqual({ runners: free, isBounded: false })
})

test('a pool is sized for all that its runners do, whatever it is called by', async () => {
  await begin('big')
  await begin('arm')
  const needed = async (hardware: string, classes?: string[]) => {
    const fleet = { ...fleetOf(hardware), classes }
    return (await decideNow({ db, clock, log }, fleet)).need.runners
  }
  expect(await needed('nobody', ['nobody'])).toBe(0)
  expect(await needed('big')).toBe(1)
  expect(await needed('nobody', ['nobody', 'arm'])).toBe(1)
})

test('of several that decide for a class at once, one writes the decision down', async () => {
  const { hardware } = capacityDecisions
  const fleet = fleetOf('contended')
  const atOnce = <T>(what: () => Promise<T>) => Promise.all(Array.from({ length: 4 }, what))
  // Each has its connection already, or they would come one after the other by opening theirs.
  await atOnce(() => db.system(tx => tx.execute(`select pg_sleep(0.1)`)))
  await atOnce(() => decideNow({ db, clock, log }, fleet))
  const kept = await db.system(tx =>
    tx.select().from(capacityDecisions).where(eq(hardware, fleet.hardware)),
  )
  expect(kept).toHaveLength(1)
})
