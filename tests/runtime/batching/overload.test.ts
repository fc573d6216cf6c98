/** More than a model can do, on a virtual clock: what is answered is answered in time, and by whom it is. */
import { describe, expect, test } from 'vitest'
import { type Random, randomOf } from '../../chaos/random.ts'
import { type Arrival, type Served, simulate } from './simulation.ts'

const SECONDS = 3

/** Arrivals at random times, so many a second. */
function poisson(random: Random, perS: number, who: Omit<Arrival, 'atMs'>): Arrival[] {
  const arrivals: Arrival[] = []
  for (let atMs = 0; ; ) {
    atMs += (-Math.log(1 - random.next()) * 1_000) / perS
    if (atMs > SECONDS * 1_000) return arrivals
    arrivals.push({ ...who, atMs })
  }
}

/** a·n + b milliseconds, off by a fifth either way, and now and then held up. */
function unsteady(random: Random, a: number, b: number, heldUpMs = 10) {
  return (rows: number) =>
    (a * rows + b) * (0.8 + 0.4 * random.next()) + (random.next() < 0.01 ? heldUpMs : 0)
}

function inTime(served: Served[]): number {
  return served.filter(
    ({ arrival, outcome, endMs }) =>
      outcome === 'ok' && endMs <= arrival.atMs + (arrival.withinMs ?? Number.POSITIVE_INFINITY),
  ).length
}

describe.each([
  { what: 'rows cost most', a: 0.33, b: 0.5, withinMs: 50 },
  { what: 'slow rows', a: 1.8, b: 0.2, withinMs: 50 },
  { what: 'half of a usual run is its fixed part', a: 0.05, b: 5, withinMs: 50 },
  { what: 'fast rows', a: 0.02, b: 0.4, withinMs: 20 },
])('a model of which $what', ({ a, b, withinMs }) => {
  // The longest run of which two fit in the deadline: who comes as one begins rides in the next.
  const rows = Math.min(256, Math.floor((withinMs / 2 - b) / a))
  const perS = (rows * 1_000) / (a * rows + b)

  test.each([1.5, 3])(
    'at %s × its capacity at least 80 % of that is answered in time',
    async times => {
      const random = randomOf(11)
      const arrivals = poisson(random, perS * times, { tenant: 't', withinMs })
      const { served } = await simulate({ arrivals, runMs: unsteady(random, a, b) })
      expect(served.length).toBe(arrivals.length)
      expect(inTime(served) / SECONDS).toBeGreaterThan(0.8 * perS)
      for (const { outcome, retryAfterS } of served) {
        if (outcome === 'overloaded') expect(retryAfterS).toBeGreaterThanOrEqual(1)
      }
    },
  )

  test('at half of its capacity nobody is refused', async () => {
    const random = randomOf(12)
    const arrivals = poisson(random, perS / 2, { tenant: 't', withinMs })
    const { served } = await simulate({ arrivals, runMs: unsteady(random, a, b, 0) })
    expect(inTime(served) / arrivals.length).toBeGreaterThan(0.99)
  })
})

/** A pause now and then, most of them short and some of many times that (Pareto, shape 1.5), up to 200 ms. */
function stall(random: Random, chance: number): number {
  if (random.next() >= chance) return 0
  return Math.min(200, 3 * (1 - random.next()) ** (-1 / 1.5))
}

describe.each([
  { what: 'rows cost most', a: 0.33, b: 0.5 },
  { what: 'half of a usual run is its fixed part', a: 0.05, b: 5 },
])('a model of which $what, whose runs stall, asked over a path that stalls', ({ a, b }) => {
  test.each([1.5, 3])(
    'at %s × its capacity at least 80 % of that is answered in time',
    async times => {
      const random = randomOf(21)
      const runMs = (rows: number) =>
        (a * rows + b) * (0.8 + 0.4 * random.next()) + stall(random, 0.05)
      const rows = Math.min(256, Math.floor((25 - b) / a))
      let [done, ms] = [0, 0]
      while (ms < 100_000) {
        ms += runMs(rows)
        done += rows
      }
      const perS = (done * 1_000) / ms
      const arrivals = poisson(random, perS * times, { tenant: 't', withinMs: 50 })
      const { served } = await simulate({ arrivals, runMs })
      const replyMs = () => 0.5 - Math.log(1 - random.next()) + stall(random, 0.02)
      const good = served.filter(
        ({ arrival, outcome, endMs }) => outcome === 'ok' && endMs + replyMs() <= arrival.atMs + 50,
      )
      expect(good.length / SECONDS).toBeGreaterThan(0.8 * perS)
    },
  )
})

test('so does a model that runs each request alone', async () => {
  const random = randomOf(16)
  const arrivals = poisson(random, 1_500, { tenant: 't', withinMs: 50 })
  const runMs = unsteady(random, 0.2, 0.8)
  const { served, batches } = await simulate({ arrivals, runMs, batching: 'unbatched' })
  expect(inTime(served) / SECONDS).toBeGreaterThan(0.8 * 1_000)
  expect(new Set(batches.map(({ reason }) => reason))).toEqual(new Set(['alone']))
})

test('a request of many rows that has the time for them is taken, behind others too', async () => {
  const one = { tenant: 't', atMs: 20, rows: 10_000, withinMs: 30_000 }
  const others = Array.from({ length: 20 }, (_, atMs) => ({ ...one, atMs, rows: 100 }))
  const { served } = await simulate({ arrivals: [...others, one], runMs: rows => rows + 1 })
  expect(served.map(({ outcome }) => outcome)).toEqual(Array(21).fill('ok'))
})

test('late work is dropped before compute: what is answered too late is next to nothing', async () => {
  const random = randomOf(13)
  const arrivals = poisson(random, 6_000, { tenant: 't', withinMs: 50 })
  const { served } = await simulate({ arrivals, runMs: unsteady(random, 0.33, 0.5, 0) })
  const answered = served.filter(({ outcome }) => outcome === 'ok').length
  expect(answered - inTime(served)).toBeLessThan(answered / 100)
})

test('a model that became three times as slow, and fast again, is believed soon', async () => {
  const random = randomOf(14)
  const arrivals = poisson(random, 4_500, { tenant: 't', withinMs: 50 })
  const isSlow = (ms: number) => ms > 600 && ms < 1_800
  const { served } = await simulate({
    arrivals,
    runMs: (rows, now) => (0.33 * rows + 0.5) * (isSlow(now) ? 3 : 1),
  })
  const within = (from: number, to: number) =>
    inTime(served.filter(({ arrival }) => arrival.atMs >= from && arrival.atMs < to))
  expect(within(800, 1_800)).toBeGreaterThan(0.75 * 1_000)
  expect(within(2_000, 3_000)).toBeGreaterThan(0.8 * 3_000)
})

describe('a tenant that floods', () => {
  const quantile = (served: Served[], part: number) =>
    served.map(({ arrival, endMs }) => endMs - arrival.atMs).toSorted((a, b) => a - b)[
      Math.floor(part * (served.length - 1))
    ]!

  test.each([
    { withinMs: undefined, weight: 1 },
    { withinMs: 100, weight: 1 },
    { withinMs: 100, weight: 4 },
  ])(
    'takes neither room nor time from one that stays below its share (%o)',
    async ({ withinMs, weight }) => {
      const random = randomOf(15)
      const runMs = unsteady(random, 0.2, 1, 0)
      const small = poisson(random, 300, { tenant: 'small', withinMs })
      const flood = poisson(random, 25_000, { tenant: 'flood', withinMs, weight })
      const arrivals = [...small, ...flood].toSorted((a, b) => a.atMs - b.atMs)
      const limits = { batchRowsMax: 64, queueRowsMax: 2_000 }
      const { served } = await simulate({ arrivals, runMs, limits })
      const own = served.filter(({ arrival }) => arrival.tenant === 'small')
      expect(new Set(own.map(({ outcome }) => outcome))).toEqual(new Set(['ok']))
      // It waits for the run that is going on and then has its own.
      const longestMs = 1.2 * (64 * 0.2 + 1)
      expect(quantile(own, 0.99)).toBeLessThan(2 * longestMs + 1)
      expect(served.filter(({ outcome }) => outcome === 'overloaded').length).toBeGreaterThan(1_000)
    },
  )
})
