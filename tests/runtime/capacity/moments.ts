/** Moments to decide from: plain ones, and any that could be. */
import * as fc from 'fast-check'
import type { ClassNow, HeldLease, RunnerNow, WaitingRun } from '#core/capacity/snapshot.ts'

const NOTHING: ClassNow = {
  hardware: 'cpu',
  waiting: [],
  leases: [],
  runners: [],
  coldStartsS: [60, 70, 80, 90, 100],
  residualStepS: 10,
  markets: {
    spot: { usdPerHour: 0.07, interruptionsPerHour: 0.3, billedLeastS: 60 },
    on_demand: { usdPerHour: 0.18, interruptionsPerHour: 0, billedLeastS: 60 },
  },
  needed: [],
  arrivals: { bucketS: 10, runs: [], workS: [] },
  unmetS: null,
  bounds: {
    floor: 0,
    ceiling: 16,
    waitUsdPerHour: 0.2,
    missedUsd: 0.5,
    tenantRunnersMax: 16,
    tenants: {},
  },
}

export function moment(given: Partial<ClassNow> = {}): ClassNow {
  return { ...NOTHING, ...given }
}

export function run(given: Partial<WaitingRun> = {}): WaitingRun {
  const usual = { tenantId: 'a', workS: 30, steps: 1, longestS: 30, weight: 1, dueInS: null }
  return { ...usual, ...given }
}

export function runner(name: string, given: Partial<RunnerNow> = {}): RunnerNow {
  return {
    name,
    market: 'spot',
    state: 'warm',
    ageS: 600,
    idleS: 0,
    onlineShare: 0,
    warmModels: 0,
    ...given,
  }
}

export function lease(of: string, remainingS = 10, tenantId = 'a'): HeldLease {
  return { runner: of, tenantId, remainingS }
}

const tenant = fc.constantFrom('a', 'b', 'c')
const seconds = (max: number) => fc.double({ min: 0, max, noNaN: true })

export const anyRun: fc.Arbitrary<WaitingRun> = fc
  .record({
    tenantId: tenant,
    stepS: seconds(600),
    steps: fc.integer({ min: 1, max: 40 }),
    weight: fc.constantFrom(0, 1, 4),
    dueInS: fc.option(seconds(4000)),
  })
  .map(({ stepS, ...of }) => ({ ...of, workS: stepS * of.steps, longestS: stepS }))

const anyRunner = fc.record({
  market: fc.constantFrom('spot' as const, 'on_demand' as const),
  state: fc.constantFrom(
    'starting' as const,
    'warm' as const,
    'warm' as const,
    'draining' as const,
  ),
  ageS: seconds(4000),
  idleS: seconds(2000),
  onlineShare: fc.constantFrom(0, 0, 0.2, 0.9),
  warmModels: fc.integer({ min: 0, max: 5 }),
  leaseS: fc.option(seconds(300)),
})

const anyNeeds = fc
  .array(
    fc.record({
      forS: fc.integer({ min: 1, max: 300 }),
      runners: fc.integer({ min: 0, max: 12 }),
      started: fc.integer({ min: 0, max: 12 }),
    }),
    { maxLength: 20 },
  )
  .map(needs => {
    let untilS = 0
    return needs.map(({ forS, runners, started }) => {
      const need = { untilS, sinceS: untilS + forS, runners, started }
      untilS += forS
      return need
    })
  })

export const anyMoment: fc.Arbitrary<ClassNow> = fc
  .record({
    waiting: fc.array(anyRun, { maxLength: 12 }),
    runners: fc.array(anyRunner, { maxLength: 10 }),
    coldStartsS: fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 8 }),
    residualStepS: seconds(100),
    needed: anyNeeds,
    unmetS: fc.option(seconds(400)),
    buckets: fc.array(fc.record({ runs: fc.nat(5), workS: seconds(200) }), { maxLength: 40 }),
    floor: fc.nat(2),
    ceiling: fc.integer({ min: 2, max: 20 }),
    waitUsdPerHour: fc.constantFrom(0, 0.05, 0.5, 5),
    tenantRunnersMax: fc.integer({ min: 1, max: 8 }),
  })
  .map(given => {
    const named = given.runners.map((one, i) => ({ ...one, name: `runner-${i}` }))
    return {
      ...NOTHING,
      waiting: given.waiting,
      runners: named.map(({ leaseS: _, ...of }) => of),
      leases: named.flatMap(({ name, state, leaseS }) =>
        state === 'warm' && leaseS !== null ? [lease(name, leaseS)] : [],
      ),
      coldStartsS: given.coldStartsS,
      residualStepS: given.residualStepS,
      needed: given.needed,
      unmetS: given.unmetS,
      arrivals: {
        bucketS: 10,
        runs: given.buckets.map(bucket => bucket.runs),
        workS: given.buckets.map(bucket => (bucket.runs > 0 ? bucket.workS : 0)),
      },
      bounds: {
        ...NOTHING.bounds,
        floor: given.floor,
        ceiling: given.ceiling,
        waitUsdPerHour: given.waitUsdPerHour,
        tenantRunnersMax: given.tenantRunnersMax,
      },
    }
  })
