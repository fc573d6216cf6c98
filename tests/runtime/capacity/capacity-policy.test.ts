/** How many runners: what the policy guarantees at any moment, and against naive oracles. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { breakEvenS, holdS } from '#core/capacity/hold.ts'
import { decide } from '#core/capacity/policy.ts'
import type { ClassNow } from '#core/capacity/snapshot.ts'
import { doneAt, type Source } from '#core/capacity/supply.ts'
import { gain } from '#core/capacity/worth.ts'
import { anyMoment, anyRun, lease, moment, run, runner } from './moments.ts'

const total = (now: ClassNow) => {
  const { spot, on_demand } = decide(now).desired
  return spot + on_demand
}

describe('at any moment', () => {
  test('more work that waits never wants fewer runners', () => {
    fc.assert(
      fc.property(anyMoment, anyRun, fc.nat(12), (now, more, place) => {
        const waiting = now.waiting.toSpliced(place, 0, more)
        expect(total({ ...now, waiting })).toBeGreaterThanOrEqual(total(now))
      }),
      { numRuns: 2_000 },
    )
  })

  test('there are never more than the ceiling, and the floor always', () => {
    fc.assert(
      fc.property(anyMoment, now => {
        expect(total(now)).toBeLessThanOrEqual(now.bounds.ceiling)
        expect(total(now)).toBeGreaterThanOrEqual(Math.min(now.bounds.floor, now.bounds.ceiling))
      }),
    )
  })

  test('the same moment gives the same decision, and is not changed by it', () => {
    fc.assert(
      fc.property(anyMoment, now => {
        const before = structuredClone(now)
        expect(decide(now)).toEqual(decide(structuredClone(now)))
        expect(now).toEqual(before)
      }),
    )
  })

  test('no runner that works, or that is paid for any way, is let go', () => {
    fc.assert(
      fc.property(anyMoment, now => {
        const holding = new Set(now.leases.map(({ runner }) => runner))
        for (const { runner: name } of decide(now).drain) {
          const of = now.runners.find(one => one.name === name)!
          expect(holding.has(name)).toBe(false)
          expect(of.state).not.toBe('draining')
          expect(of.onlineShare).toBe(0)
          expect(of.ageS).toBeGreaterThanOrEqual(60)
        }
      }),
    )
  })

  test('every change has a reason in words', () => {
    fc.assert(
      fc.property(anyMoment, now => {
        const { drain, reasons } = decide(now)
        for (const { runner: name } of drain) expect(reasons.join(' ')).toContain(name)
        expect(reasons.join(' ')).not.toMatch(/NaN|undefined|Infinity/)
      }),
    )
  })
})

describe('from nothing and back', () => {
  test('work that waits is given a runner at once', () => {
    expect(total(moment({ waiting: [run({ workS: 0.1, longestS: 0.1 })] }))).toBe(1)
  })

  test('work whose waiting is worth nothing starts none', () => {
    expect(total(moment({ waiting: [run({ weight: 0 })] }))).toBe(0)
  })

  test('nothing to do and no past: none', () => {
    const idle = [runner('runner-0', { idleS: 900 })]
    expect(total(moment({ runners: idle }))).toBe(0)
    expect(decide(moment({ runners: idle })).drain).toHaveLength(1)
  })

  test('the last runner is kept as long as a start would cost, and no longer', () => {
    // A cold start of 80 s: 80 s of a machine, and 80 s of waiting at 0.2 USD an hour.
    const now = moment({ runners: [runner('runner-0')] })
    const idle = (untilS: number) => ({
      ...now,
      needed: [{ untilS, sinceS: untilS + 10, runners: 1, started: 1 }],
    })
    const price = (0.07 * (1 + (0.3 / 3600) * 90)) / 3600
    const breakEven = 80 + (80 * 0.2) / 3600 / price
    expect(total(idle(breakEven - 1))).toBe(1)
    expect(total(idle(breakEven + 1))).toBe(0)
  })

  test('one that is still starting is kept while what it was started for waits', () => {
    const starting = Array.from({ length: 4 }, (_, i) =>
      runner(`runner-${i}`, { state: 'starting', ageS: 70 }),
    )
    expect(total(moment({ waiting: [run({ workS: 4000, steps: 40 })], runners: starting }))).toBe(
      Math.max(4, total(moment({ waiting: [run({ workS: 4000, steps: 40 })], runners: starting }))),
    )
    expect(total(moment({ runners: starting }))).toBe(0)
  })
})

describe('requests that want an answer now', () => {
  const alive = (now: ClassNow) => now.runners.filter(({ state }) => state !== 'draining')

  test('a runner is wanted while any answers them, and while who found none may come again; else work alone says', () => {
    fc.assert(
      fc.property(anyMoment, now => {
        const bulk = { ...now, runners: now.runners.map(one => ({ ...one, onlineShare: 0 })) }
        const needed = (of: ClassNow) => decide(of).need.runners
        const lateS = now.coldStartsS.toSorted((a, b) => a - b)
        // Nine starts in ten take no longer than this one.
        const mostS = lateS.find((_, i) => (i + 1) / lateS.length >= 0.9)!
        const mayCome = now.unmetS !== null && now.unmetS <= mostS + 5
        const isAnswered = alive(now).some(({ onlineShare }) => onlineShare > 0)
        if (mayCome || isAnswered) expect(needed(now)).toBeGreaterThanOrEqual(1)
        if (!mayCome && !isAnswered) expect(needed(now)).toBe(needed({ ...bulk, unmetS: null }))
      }),
    )
  })

  test('runners that are all busy with them are never thought to be enough', () => {
    fc.assert(
      fc.property(anyMoment, fc.double({ min: 0.91, max: 1, noNaN: true }), (now, share) => {
        const runners = alive(now).map(one => ({ ...one, onlineShare: share }))
        fc.pre(runners.length > 0)
        const { need } = decide({ ...now, runners })
        expect(need.runners).toBeGreaterThan(runners.length)
        expect(need.started).toBeGreaterThan(runners.length)
        expect(total({ ...now, runners })).toBeGreaterThanOrEqual(
          Math.min(now.bounds.ceiling, runners.length + 1),
        )
      }),
    )
  })

  test('more of them never want fewer runners', () => {
    const shares = fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean()), {
      minLength: 1,
      maxLength: 8,
    })
    fc.assert(
      fc.property(shares, fc.constantFrom(0, 0.05, 0.2, 5), (all, waitUsdPerHour) => {
        const of = (shareOf: (share: number, more: boolean) => number) => {
          const runners = all.map(([share, more], i) =>
            runner(`runner-${i}`, { onlineShare: shareOf(share, more) }),
          )
          const now = moment({ runners })
          return decide({ ...now, bounds: { ...now.bounds, waitUsdPerHour } }).need.runners
        }
        const before = of(share => share)
        expect(of((share, more) => (more ? (share + 1) / 2 : share))).toBeGreaterThanOrEqual(before)
        expect(before).toBeGreaterThanOrEqual(all.reduce((sum, [share]) => sum + share, 0))
      }),
    )
  })
})

describe('never twice', () => {
  test('a step occupies one runner, whether it waits or is under way', () => {
    const runners = [runner('runner-0'), runner('runner-1')]
    const now = moment({ runners, leases: [lease('runner-0', 5_000), lease('runner-1', 5_000)] })
    expect(total(now)).toBe(2)
    expect(total({ ...now, waiting: [run({ workS: 9_000, longestS: 9_000 })] })).toBe(3)
  })

  test('what starts already counts for the work that waits', () => {
    const now = moment({ waiting: [run({ workS: 600, steps: 60, longestS: 10 })] })
    const wanted = total(now)
    const starting = Array.from({ length: wanted }, (_, i) =>
      runner(`runner-${i}`, { state: 'starting', ageS: 5 }),
    )
    expect(wanted).toBeGreaterThan(1)
    expect(total({ ...now, runners: starting })).toBe(wanted)
  })

  test('work that will be done before a runner could start calls for none', () => {
    const runners = [runner('runner-0')]
    const leases = [lease('runner-0', 5)]
    const waiting = Array.from({ length: 6 }, () => run({ workS: 5, longestS: 5 }))
    expect(total(moment({ runners, leases, waiting }))).toBe(1)
  })
})

describe('tenants', () => {
  const flood = Array.from({ length: 100 }, () => run({ tenantId: 'flood', workS: 600, steps: 20 }))

  test('a flood of one calls for no more than its bound', () => {
    const now = moment({ waiting: flood })
    const bounds = { ...now.bounds, ceiling: 64, tenants: { flood: 3 } }
    expect(total({ ...now, bounds })).toBe(3)
    expect(decide({ ...now, bounds }).reasons.join(' ')).toContain('tenants call for no more')
  })

  test('another is not held to it', () => {
    const now = moment({ waiting: [...flood, run({ tenantId: 'other' })] })
    expect(total({ ...now, bounds: { ...now.bounds, tenants: { flood: 3 } } })).toBe(4)
  })
})

describe('markets', () => {
  test('on-demand where the loss of a machine would be too late and is feared', () => {
    const now = moment({ waiting: [run({ workS: 900, longestS: 900, dueInS: 1_800 })] })
    const feared = { ...now, bounds: { ...now.bounds, missedUsd: 50 } }
    expect(decide(feared).desired).toEqual({ spot: 0, on_demand: 1 })
    expect(decide({ ...now, bounds: { ...now.bounds, missedUsd: 0 } }).desired.spot).toBe(1)
  })

  test('spot that is lost more than it saves is not bought', () => {
    const now = moment({ waiting: [run()] })
    const spot = { usdPerHour: 0.17, interruptionsPerHour: 20, billedLeastS: 60 }
    expect(decide({ ...now, markets: { ...now.markets, spot } }).desired.on_demand).toBe(1)
  })

  test('no price at all is a fault, not a guess', () => {
    expect(() => decide(moment({ markets: { spot: null, on_demand: null } }))).toThrow()
  })
})

describe('the parts, by naive oracles', () => {
  const sources = fc
    .array(fc.record({ fromS: fc.nat(100), speed: fc.constantFrom(0.25, 0.5, 1) }), {
      minLength: 1,
      maxLength: 5,
    })
    .map(all => all.toSorted((a, b) => a.fromS - b.fromS))

  test('an amount is done when that much work was', () => {
    fc.assert(
      fc.property(sources, fc.double({ min: 0.1, max: 500, noNaN: true }), (all, amount) => {
        const at = doneAt(all)(amount)
        const done = (t: number) =>
          all.reduce((sum, { fromS, speed }) => sum + Math.max(0, t - fromS) * speed, 0)
        expect(done(at)).toBeCloseTo(amount, 6)
      }),
    )
  })

  test('what one more runner spares is at least the waiting that it takes away', () => {
    const demand = fc.record({ workS: fc.nat(200), usdPerS: fc.constantFrom(0, 1, 2) })
    fc.assert(
      fc.property(sources, fc.array(demand, { maxLength: 8 }), fc.nat(120), (all, runs, fromS) => {
        let upToS = 0
        const demands = runs.map(({ workS, usdPerS }) => {
          upToS += workS
          return { upToS, usdPerS, arrivesInS: 0 }
        })
        const waited = (of: Source[]) =>
          demands.reduce((sum, d) => sum + d.usdPerS * slowly(of, d.upToS), 0)
        const more = [...all, { fromS, speed: 1 }]
        expect(gain(all, demands, fromS)).toBeGreaterThanOrEqual(waited(all) - waited(more) - 0.5)
      }),
      { numRuns: 50 },
    )
  })

  /** Step by step, a hundredth of a second each. */
  function slowly(all: readonly Source[], amount: number): number {
    let done = 0
    let t = 0
    while (done < amount) {
      for (const { fromS, speed } of all) if (t >= fromS) done += speed / 100
      t += 0.01
    }
    return t
  }

  test('a hold costs no more over the gaps that were than any other up to the break-even time', () => {
    const gaps = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 3, maxLength: 12 })
    fc.assert(
      fc.property(gaps, fc.integer({ min: 1, max: 200 }), (all, breakEven) => {
        let at = 0
        const needed = all.flatMap(gap => {
          const busy = { untilS: at, sinceS: at + 5, runners: 1, started: 1 }
          const idle = { untilS: at + 5, sinceS: at + 5 + gap, runners: 0, started: 0 }
          at += 5 + gap
          return [busy, idle]
        })
        const closed = [...needed, { untilS: at, sinceS: at + 5, runners: 1, started: 1 }]
        const costs = (s: number) =>
          all.reduce((sum, gap) => sum + (gap > s ? s + breakEven : gap), 0)
        const chosen = holdS(closed, 1, breakEven)
        expect(chosen).toBeLessThanOrEqual(breakEven)
        for (let s = 0; s <= breakEven; s++) expect(costs(chosen)).toBeLessThanOrEqual(costs(s))
      }),
    )
  })

  test('the sixth runner is missed less than the first', () => {
    const cost = { coldS: 80, usdPerS: 1, waitUsdPerS: 2, residualStepS: 30 }
    const times = [1, 2, 3, 4, 5, 6].map(rank => breakEvenS(cost, rank, true))
    expect(times).toEqual(times.toSorted((a, b) => b - a))
    expect(times[0]).toBe(240)
  })
})
