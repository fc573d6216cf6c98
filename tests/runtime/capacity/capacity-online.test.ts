/** Requests that want an answer now, as capacity finds them in rows: who answers them, and who found nobody. */
import { expect, test } from 'vitest'
import { call, decideNow, type Fleet } from '#core/capacity/capacity.ts'
import * as models from '#core/models/models.ts'
import { handClock } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db } = await testDatabase()
const log = { info: () => {}, error: () => {} }
const COLD_S = 20
let classes = 0

/** A class of its own, with a pool that has so many runners that have been there for an hour. */
function scene(runners = 1) {
  const clock = handClock()
  const hardware = `online-${classes++}`
  const names = Array.from({ length: runners }, (_, i) => `${hardware}-${i}`)
  const fleet: Fleet = {
    hardware,
    runners: names.map(name => ({ name, market: 'spot', state: 'warm', ageS: 3_600 })),
    coldStartsS: [COLD_S],
    markets: { spot: { usdPerHour: 1, interruptionsPerHour: 0, billedLeastS: 0 }, on_demand: null },
    bounds: {
      floor: 0,
      ceiling: 8,
      waitUsdPerHour: 1,
      missedUsd: 0,
      tenantRunnersMax: 8,
      tenants: {},
    },
  }
  return {
    clock,
    names,
    decide: (of: Partial<Fleet> = {}) => decideNow({ db, clock, log }, { ...fleet, ...of }),
    call: () => db.system(tx => call({ tx, clock }, { hardware })),
    announce: (name: string, onlineShare: number, warmModels = 0) =>
      db.system(tx =>
        models.hardware.announce(
          { tx, clock },
          {
            ...{ name, hardware, providers: ['cpu'], lacks: null, cores: 4, modelMemoryMb: 512 },
            ...{ onlineShare, warmModels },
          },
        ),
      ),
  }
}

test('a runner that says that it answers requests is kept, and let go when it has not for a while', async () => {
  const { decide, announce, names, clock } = scene()
  await announce(names[0]!, 0.001, 3)
  expect(await decide()).toMatchObject({
    desired: { spot: 1 },
    need: { runners: 1, started: 1 },
    drain: [],
  })
  await announce(names[0]!, 0, 3)
  expect((await decide()).need.runners).toBe(0)
  // Kept for its cold start and what waiting for it would be worth.
  clock.forward(2 * COLD_S * 1_000 - 1_000)
  expect(await decide()).toMatchObject({ desired: { spot: 1 }, need: { runners: 0 }, drain: [] })
  clock.forward(2_000)
  const { desired, drain } = await decide()
  expect(desired.spot).toBe(0)
  expect(drain).toMatchObject([{ runner: names[0], why: 'idle for 41 s with 3 models in memory' }])
})

test('runners that are busy with requests get company, and those with room do not', async () => {
  const { decide, announce, names } = scene(2)
  for (const name of names) await announce(name, 0.2)
  expect((await decide()).need.runners).toBe(1)
  for (const name of names) await announce(name, 1)
  const { need, reasons } = await decide()
  expect(need.runners).toBeGreaterThan(2)
  expect(reasons.join(' ')).toContain(`Online requests want ${need.runners} runners`)
})

test('what was said under its name before a runner was asked for is not its load', async () => {
  const { decide, announce, names, clock } = scene()
  await announce(names[0]!, 1)
  clock.forward(10_000)
  const young = { name: names[0]!, market: 'spot' as const, ageS: 5 }
  expect((await decide({ runners: [{ ...young, state: 'starting' }] })).need.runners).toBe(0)
  expect((await decide({ runners: [{ ...young, state: 'warm' }] })).need.runners).toBe(0)
  await announce(names[0]!, 1)
  expect((await decide({ runners: [{ ...young, state: 'warm' }] })).need.runners).toBe(2)
})

test('a request that found no runner gets one started, for as long as it may come again, with a reason', async () => {
  const { decide, call, clock } = scene(0)
  expect((await decide()).desired.spot).toBe(0)
  await call()
  const { desired, need, reasons } = await decide()
  expect([desired.spot, need]).toEqual([1, { runners: 1, started: 1 }])
  expect(reasons.join(' ')).toContain('An online request found no runner 0 s ago')
  // It was told to come again when a runner is up on average; that this one is up by then is likely.
  clock.forward(COLD_S * 1_000 + 4_000)
  expect((await decide()).need.runners).toBe(1)
  clock.forward(2_000)
  expect((await decide()).need.runners).toBe(0)
})

test('a rank that the past lets go at once is kept all the same until who called for it could come', async () => {
  const { decide, call, clock } = scene(0)
  const runners = [
    { name: 'missing-1', market: 'spot' as const, state: 'starting' as const, ageS: 1 },
  ]
  for (let hour = 0; hour < 5; hour++) {
    await call()
    await decide({ runners })
    clock.forward(COLD_S * 1_000)
    expect((await decide({ runners })).desired.spot).toBe(1)
    clock.forward(6_000)
    const { desired } = await decide({ runners })
    if (hour === 4) expect(desired.spot).toBe(0)
    clock.forward(1_200_000)
    await decide({ runners: [] })
  }
})

test('who calls for a runner is told how long one takes, where somebody starts any', async () => {
  const { decide, call, clock } = scene(0)
  expect(await call()).toEqual({ coldS: null })
  await decide({ coldStartsS: [10, 30] })
  expect(await call()).toEqual({ coldS: 20 })
  clock.forward(120_000)
  expect(await call()).toEqual({ coldS: null })
})
