/** Rate limits at the edge: over any number of isolates no more is spent than the limit gives. */
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Objects } from '#core/deps.ts'
import { TenantRates } from '#core/tenants/rate-object.ts'
import { Limiter } from '#edge/middleware/limits.ts'
import { newId } from '#schemas/ids.ts'
import { PLANS } from '#schemas/plans.ts'
import { callOf, handClock } from '#tests/caller.ts'

const log = { info() {}, error() {} }
const RATE = PLANS.standard!.transfer

/** The objects of one deployment over real SQL; `reach` says whether they answer. */
function deployment() {
  const clock = handClock()
  const rates = new Map<string, TenantRates>()
  let calls = 0
  let reachable = true
  const objects: Objects = {
    tenant: id => ({
      async leaseRate(input) {
        calls++
        if (!reachable) throw new Error('unreachable')
        if (!rates.has(id)) rates.set(id, new TenantRates(sqlOf(), clock))
        return rates.get(id)!.leaseRate(input)
      },
    }),
  }
  const isolate = () => new Limiter({ objects, clock, log, background: () => {} })
  return { clock, isolate, calls: () => calls, reach: (is: boolean) => (reachable = is) }
}

function sqlOf() {
  const db = new DatabaseSync(':memory:')
  return {
    exec: <Row>(query: string, ...values: (string | number | null)[]) =>
      db.prepare(query).all(...values) as Row[],
  }
}

const { caller } = callOf(newId('tenant'))
const spent = (limiter: Limiter, who = caller) =>
  limiter.spend(who, 'transfer').then(
    () => true,
    () => false,
  )

test('whatever isolates ask and whenever, no more is let through than burst and rate allow', async () => {
  const step = fc.record({ isolate: fc.nat(3), ask: fc.nat(60), waitMs: fc.nat(400) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
      const { clock, isolate } = deployment()
      const isolates = Array.from({ length: 4 }, isolate)
      const began = clock.now()
      let through = 0
      for (const one of steps) {
        const asked = Array.from({ length: one.ask }, () => spent(isolates[one.isolate]!))
        through += (await Promise.all(asked)).filter(Boolean).length
        expect(through).toBeLessThanOrEqual(RATE.burst + (RATE.perS * (clock.now() - began)) / 1000)
        clock.forward(one.waitMs)
      }
    }),
    { numRuns: 60 },
  )
})

test('who is over the limit is told so at once, when to come back, and costs the object nothing more', async () => {
  const { clock, isolate, calls } = deployment()
  const limiter = isolate()
  while (await spent(limiter));
  const before = calls()
  const outcomes = await Promise.allSettled(
    Array.from({ length: 100 }, () => limiter.spend(caller, 'transfer')),
  )
  for (const outcome of outcomes) {
    expect(outcome).toMatchObject({ reason: { code: 'rate_limited', status: 429, retryAfterS: 1 } })
  }
  expect(calls()).toBe(before)
  clock.forward(1000)
  expect(await spent(limiter)).toBe(true)
})

test('a tenant that floods leaves every other tenant its whole limit', async () => {
  const { isolate } = deployment()
  const limiter = isolate()
  while (await spent(limiter));
  const other = callOf(newId('tenant')).caller
  for (let i = 0; i < RATE.burst; i++) expect(await spent(limiter, other)).toBe(true)
  expect(await spent(limiter, other)).toBe(false)
})

test('most requests need no hop', async () => {
  const { isolate, calls } = deployment()
  const limiter = isolate()
  for (let i = 0; i < RATE.burst; i++) await spent(limiter)
  // One lease is asked for ahead of its need.
  expect(calls()).toBeLessThanOrEqual(RATE.burst / 10 + 1)
})

test('who asks again and again waits for the object once, not whenever a lease ends', async () => {
  const { clock, isolate } = deployment()
  const limiter = isolate()
  expect(await spent(limiter)).toBe(true)
  for (let i = 0; i < 500; i++) {
    clock.forward(i % 50)
    expect(limiter.spendAtHand(caller, 'transfer', clock.now())).toBe(true)
    await new Promise(setImmediate)
  }
})

test('while the object does not answer, a bounded share goes through and nobody is locked out', async () => {
  const { clock, isolate, reach } = deployment()
  reach(false)
  const limiter = isolate()
  expect(await spent(limiter)).toBe(true)
  clock.forward(60_000)
  expect(await spent(limiter)).toBe(true)
})
