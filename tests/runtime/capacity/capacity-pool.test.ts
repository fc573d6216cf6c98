/** The simulated pool keeps its books, whatever a policy wants of it. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Driver,
  GALLEY,
  galleyDriver,
  kedaDriver,
  knativeDriver,
} from '../../../bench/autoscale/drive.ts'
import { KEDA_DEFAULTS } from '../../../bench/autoscale/keda.ts'
import { KNATIVE_DEFAULTS } from '../../../bench/autoscale/knative.ts'
import type { Pool } from '../../../bench/autoscale/pool.ts'
import { replay } from '../../../bench/autoscale/replay.ts'
import { TRACES, type Trace, type TraceName } from '../../../bench/autoscale/traces.ts'
import { WORLD } from '../../../bench/autoscale/world.ts'

const names = Object.keys(TRACES) as TraceName[]
/** Its first hour. */
function hour(name: TraceName, seed: number): Trace {
  const trace = TRACES[name](seed)
  return { ...trace, lengthS: 3600, jobs: trace.jobs.filter(({ atS }) => atS < 3600) }
}
const drivers: Record<string, () => Driver> = {
  galley: () => galleyDriver(GALLEY),
  keda: () => kedaDriver({ ...KEDA_DEFAULTS, queueLength: 2, cooldownPeriodS: 60 }),
  knative: () => knativeDriver({ ...KNATIVE_DEFAULTS, containerConcurrency: 2 }),
}

describe.each(Object.entries(drivers))('%s', (_, drive) => {
  test('no run is lost, machines are paid, and never over the ceiling', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.integer({ min: 1, max: 1e6 }), (name, seed) => {
        let most = 0
        const trace = hour(name, seed)
        const look = (pool: Pool) => {
          most = Math.max(most, [...pool.machines].filter(({ draining }) => !draining).length)
        }
        const outcome = replay(trace, drive(), look)
        const workS = trace.jobs.flatMap(({ steps }) => steps).reduce((sum, s) => sum + s, 0)
        expect(outcome.lost).toBe(0)
        expect(outcome.waitsS).toHaveLength(trace.jobs.length)
        expect(outcome.waitsS.every(s => s >= -1e-6)).toBe(true)
        expect(outcome.usd).toBeGreaterThanOrEqual((workS / 3600) * WORLD.usdPerHour.spot * 0.999)
        expect(most).toBeLessThanOrEqual(WORLD.ceiling)
      }),
      { numRuns: 8 },
    )
  })

  test('the same seed gives the same figures', () => {
    expect(replay(hour('bursty', 5), drive())).toEqual(replay(hour('bursty', 5), drive()))
  })
})

test('a trace is the same whenever it is made, and its sizes have heavy tails', () => {
  expect(TRACES.bursty(3)).toEqual(TRACES.bursty(3))
  const works = TRACES.diurnal(3).jobs.map(({ steps }) => steps.reduce((sum, s) => sum + s, 0))
  const largest = works.toSorted((a, b) => b - a).slice(0, works.length / 20)
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)
  expect(sum(largest)).toBeGreaterThan(0.5 * sum(works))
})
