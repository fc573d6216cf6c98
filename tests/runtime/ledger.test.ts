/** The ledger: whatever comes, in whatever order, each receipt is in it once, and totals are their sum. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Database } from '#core/deps.ts'
import * as usage from '#core/usage/usage.ts'
import { newId, type TenantId } from '#schemas/ids.ts'
import { inTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db, admin } = await testDatabase()

const MIDNIGHT = Date.UTC(2026, 2, 29)
const KEYS = [newId('key'), newId('key')]
const RUNS = [newId('run'), newId('run')]
const CONTEXTS = 4
const RECEIPTS = 24
const GROUPS: usage.Group[] = ['kind', 'model', 'key', 'project', 'job', 'day', 'hour']

/** Context and receipt are functions of their number, as the real ones are of the work they prove. */
function contextOf(tenantId: TenantId, number: number): usage.ReceiptContext {
  return {
    tenantId,
    keyId: KEYS[number % 2]!,
    project: number === 0 ? null : `project ${number % 3}`,
    tags: number % 2 === 0 ? {} : { team: `team "${number}"` },
    kind: number === 3 ? 'bulk' : 'online',
    model: `model-${number % 2}`,
    version: 1 + (number % 2),
    digest: String(number).padStart(64, '0'),
    priceBook: usage.PRICE_BOOK,
  }
}

function receiptOf(number: number): usage.Receipt & { of: number } {
  const of = number % CONTEXTS
  const work = of === 3 ? `${RUNS[number % 2]}/${number}` : `request ${number}`
  return {
    of,
    id: `rcp_${number}`,
    work,
    // Around midnight and around full hours, to the millisecond.
    at: MIDNIGHT + ((number % 7) - 3) * 1_800_000 - (number % 2),
    requests: of === 3 ? 0 : 1,
    rows: number,
    computeUs: number ** 2,
    bytesIn: number * 10,
    bytesOut: number * 1_000_003,
    ...(number % 3 > 0 && { tokens: number * 7 }),
  }
}

type Delivery = { receipts: number[]; tenants: boolean[]; split: boolean; dies: boolean }
const delivery: fc.Arbitrary<Delivery> = fc.record({
  receipts: fc.array(fc.nat(RECEIPTS - 1), { minLength: 1, maxLength: 12 }),
  tenants: fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
  // The same context twice in one batch, as after a runner has dialled again.
  split: fc.boolean(),
  dies: fc.boolean(),
})

/** A database whose transactions do all their work and then do not commit. */
const dying: Database = {
  ...db,
  tenant: (tenantId, work) =>
    db.tenant(tenantId, async tx => {
      await work(tx)
      throw new Error('died before the commit')
    }),
}

function entriesOf({ receipts, tenants, split }: Delivery, ids: readonly [TenantId, TenantId]) {
  const entries = receipts.map((number, i) => {
    const { of, ...receipt } = receiptOf(number)
    return { context: contextOf(ids[tenants[i] ? 0 : 1], of), receipts: [receipt] }
  })
  if (split) return entries
  const merged = Map.groupBy(entries, entry => JSON.stringify(entry.context))
  return [...merged.values()].map(same => ({
    context: same[0]!.context,
    receipts: same.flatMap(entry => entry.receipts),
  }))
}

/** Follows the ledger as a billing system would, while it grows. */
async function follow(
  tenantId: TenantId,
  done: () => boolean,
): Promise<{ seq: number; id: string }[]> {
  const seen: { seq: number; id: string }[] = []
  for (let cursor: string | undefined; ; ) {
    const finished = done()
    const page = await inTenant({ db }, tenantId, unit => usage.list(unit, { limit: 3, cursor }))
    for (const { seq, id } of page.data) if (seq > (seen.at(-1)?.seq ?? 0)) seen.push({ seq, id })
    if (page.next_cursor) cursor = page.next_cursor
    else if (finished) return seen
  }
}

test('any deliveries, in any order, by any number of recorders that may die, leave each receipt once, numbered without a gap, and a reader that follows misses none', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(delivery, { maxLength: 4 }), { minLength: 1, maxLength: 4 }),
      async lanes => {
        const ids = [newId('tenant'), newId('tenant')] as const
        const contexts: usage.KnownContexts = new Map()
        const expected = ids.map(() => new Set<number>())
        let recorded = false
        const readers = ids.map(id => follow(id, () => recorded))
        await Promise.all(
          lanes.map(async lane => {
            for (const one of lane) {
              const entries = entriesOf(one, ids)
              const recording = usage.record({ db: one.dies ? dying : db, contexts }, entries)
              if (one.dies) await expect(recording).rejects.toThrow('died before')
              else await recording
              if (one.dies) continue
              for (const [i, number] of one.receipts.entries()) {
                expected[one.tenants[i] ? 0 : 1]!.add(number)
              }
            }
          }),
        )
        recorded = true
        const seen = await Promise.all(readers)
        for (const [i, tenantId] of ids.entries()) {
          const { rows } = await admin.query(
            `select r.id, r.seq::int as seq, r.work, r.rows::int as rows, c.model, c.kind
             from receipts r left join receipt_contexts c on c.id = r.context and c.tenant_id = r.tenant_id
             where r.tenant_id = $1 order by r.seq`,
            [tenantId],
          )
          expect(rows.map(row => row.seq)).toEqual(rows.map((_, at) => at + 1))
          expect(new Set(rows.map(row => row.id))).toEqual(
            new Set([...expected[i]!].map(number => `rcp_${number}`)),
          )
          expect(rows.length).toBe(expected[i]!.size)
          for (const row of rows) {
            const { of, ...receipt } = receiptOf(Number(row.id.slice(4)))
            const { model, kind } = contextOf(tenantId, of)
            expect(row).toMatchObject({ work: receipt.work, rows: receipt.rows, model, kind })
          }
          expect(seen[i]).toEqual(rows.map(({ seq, id }) => ({ seq, id })))
        }
      },
    ),
    { numRuns: 25 },
  )
})

function naive(numbers: number[], tenantId: TenantId, groups: usage.Group[]) {
  const sums = new Map<string, usage.Quantities>()
  for (const number of numbers) {
    const receipt = receiptOf(number)
    const context = contextOf(tenantId, receipt.of)
    const iso = new Date(receipt.at).toISOString()
    const values: Record<usage.Group, string | null> = {
      kind: context.kind,
      model: context.model,
      key: context.keyId,
      project: context.project,
      job: context.kind === 'bulk' ? receipt.work.split('/')[0]! : null,
      day: iso.slice(0, 10),
      hour: `${iso.slice(0, 13)}:00:00Z`,
    }
    const name = JSON.stringify(groups.map(group => values[group]))
    const sum = sums.get(name) ?? {
      receipts: 0,
      requests: 0,
      rows: 0,
      compute_us: 0,
      bytes_in: 0,
      bytes_out: 0,
      tokens: 0,
    }
    sum.receipts++
    sum.requests += receipt.requests
    sum.rows += receipt.rows
    sum.compute_us += receipt.computeUs
    sum.bytes_in += receipt.bytesIn
    sum.bytes_out += receipt.bytesOut
    sum.tokens += receipt.tokens ?? 0
    sums.set(name, sum)
  }
  return sums
}

test('totals of any grouping and any half-open period equal a naive sum over the receipts', async () => {
  const tenantId = newId('tenant')
  const other = newId('tenant')
  const all = Array.from({ length: RECEIPTS }, (_, i) => i)
  for (const id of [tenantId, other]) {
    const whole = { receipts: all, tenants: all.map(() => true), split: false, dies: false }
    await usage.record({ db, contexts: new Map() }, entriesOf(whole, [id, id]))
  }
  const moment = fc.option(fc.constantFrom(...all.map(n => receiptOf(n).at)), { nil: undefined })
  await fc.assert(
    fc.asyncProperty(fc.subarray(GROUPS), moment, moment, async (group_by, from, to) => {
      const inside = all.filter(n => {
        const { at } = receiptOf(n)
        return at >= (from ?? -Infinity) && at < (to ?? Infinity)
      })
      const iso = (ms?: number) => (ms === undefined ? undefined : new Date(ms).toISOString())
      const answer = await inTenant({ db }, tenantId, unit =>
        usage.totals(unit, { from: iso(from), to: iso(to), group_by }),
      )
      const [total] = [...naive(inside, tenantId, []).values()]
      expect(answer.total.rows).toBe(total?.rows ?? 0)
      expect(answer.total.receipts).toBe(inside.length)
      if (group_by.length === 0) return
      const given = answer.data.map(({ group, ...sums }) => [
        JSON.stringify(group_by.map(name => group[name])),
        sums,
      ])
      expect(new Map(given as [string, usage.Quantities][])).toEqual(
        naive(inside, tenantId, group_by),
      )
    }),
    { numRuns: 60 },
  )
})

test('a total is exact up to the largest integer that JSON carries exactly', async () => {
  const tenantId = newId('tenant')
  const context = contextOf(tenantId, 1)
  const half = (Number.MAX_SAFE_INTEGER - 1) / 2
  const receipts = [half, half, 1].map((bytesOut, i) => ({
    ...(({ of: _, ...rest }) => rest)(receiptOf(i)),
    bytesOut,
  }))
  await usage.record({ db, contexts: new Map() }, [{ context, receipts }])
  const { total } = await inTenant({ db }, tenantId, unit => usage.totals(unit, {}))
  expect(total.bytes_out).toBe(Number.MAX_SAFE_INTEGER)
})

test('more groups than an answer holds are refused, and one group less is answered', async () => {
  const tenantId = newId('tenant')
  const jobs = (count: number) => {
    const receipts = Array.from({ length: count }, (_, n) => ({
      ...receiptOf(3),
      id: `rcp_of_run_${n}`,
      work: `run_${n}/0`,
    }))
    return usage.record({ db, contexts: new Map() }, [
      { context: contextOf(tenantId, 3), receipts },
    ])
  }
  const byJob = () => inTenant({ db }, tenantId, unit => usage.totals(unit, { group_by: ['job'] }))
  await jobs(usage.GROUPS_MAX)
  expect((await byJob()).data).toHaveLength(usage.GROUPS_MAX)
  await jobs(usage.GROUPS_MAX + 1)
  await expect(byJob()).rejects.toMatchObject({ code: 'invalid_request' })
})

test('a receipt that is delivered again with other quantities changes nothing that was billed', async () => {
  const tenantId = newId('tenant')
  const context = contextOf(tenantId, 1)
  const { of: _, ...receipt } = receiptOf(5)
  const deps = { db, contexts: new Map() }
  expect(await usage.record(deps, [{ context, receipts: [receipt] }])).toBe(1)
  expect(await usage.record(deps, [{ context, receipts: [{ ...receipt, rows: 999 }] }])).toBe(0)
  const { total } = await inTenant({ db }, tenantId, unit => usage.totals(unit, {}))
  expect(total.rows).toBe(5)
})

test('what a log says without its context is left out and counted, never billed to somebody else', () => {
  const context = contextOf(newId('tenant'), 1)
  const { entries, orphans } = usage.entriesOf([
    { context: 0, is: context },
    [0, 'rcp_a', 'request a', MIDNIGHT, 1, 2, 3, 4],
    [7, 'rcp_b', 'request b', MIDNIGHT, 1, 2, 3, 4],
  ])
  expect(orphans).toBe(1)
  expect(entries).toHaveLength(1)
  expect(entries[0]!.receipts.map(receipt => receipt.id)).toEqual(['rcp_a'])
})
