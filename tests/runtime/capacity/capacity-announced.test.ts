/** Which runners a service has, from its number, their announcements and the decisions before. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type Announced,
  type Asked,
  coldStartsOf,
  read,
  runnersOf,
} from '#core/capacity/announced.ts'
import { keep } from '#core/capacity/kept.ts'
import * as models from '#core/models/models.ts'
import { RUNNER_SILENT_MS } from '#schemas/tables/runners.ts'
import { handClock } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db } = await testDatabase()
const NOW = 10_000_000
const IDLE = { onlineShare: 0, warmModels: 0 }
const announced = fc.uniqueArray(
  fc.record({
    name: fc.integer({ min: 0, max: 99 }).map(i => `runner-${i}`),
    sinceAt: fc.integer({ min: 0, max: NOW }),
    seenAt: fc.integer({ min: NOW - 3 * RUNNER_SILENT_MS, max: NOW }),
  }),
  { selector: ({ name }) => name, maxLength: 12 },
)
const asked = fc
  .array(fc.record({ at: fc.integer({ min: 0, max: NOW }), runners: fc.nat(8) }), { maxLength: 10 })
  .map(rows => rows.toSorted((a, b) => b.at - a.at))
const told = fc.record({ announced, asked, wanted: fc.nat(10), floor: fc.nat(3) })
const isHeard = ({ seenAt }: Announced) => seenAt > NOW - RUNNER_SILENT_MS

test('there are as many as the service was told, and each that is heard is one runner', () => {
  fc.assert(
    fc.property(told, ({ announced, asked, wanted, floor }) => {
      const all = runnersOf({ announced, asked }, { wanted, floor, now: NOW })
      const of = (which: string) => all.filter(({ state }) => state === which)
      expect(of('warm').length + of('starting').length).toBe(wanted)
      const heard = announced.filter(isHeard).map(({ name }) => name)
      expect([...of('warm'), ...of('draining')].map(({ name }) => name).sort()).toEqual(
        heard.sort(),
      )
      expect(new Set(all.map(({ name }) => name)).size).toBe(all.length)
      expect(all.filter(({ market }) => market === 'on_demand')).toHaveLength(
        Math.min(floor, wanted),
      )
      for (const { ageS } of all) expect(ageS).toBeGreaterThanOrEqual(0)
    }),
  )
})

test('one that goes is the one that has been silent for longest', () => {
  const announced = [5_000, 1_000, 9_000].map((agoMs, i) => ({
    ...{ name: `runner-${i}`, sinceAt: 0 },
    seenAt: NOW - agoMs,
  }))
  const all = runnersOf({ announced, asked: [] }, { wanted: 2, floor: 0, now: NOW })
  expect(all.find(({ state }) => state === 'draining')?.name).toBe('runner-2')
})

test('one that starts has done so since its place was asked for without a break', () => {
  const asked: Asked[] = [
    { at: NOW - 10_000, runners: 3 },
    { at: NOW - 30_000, runners: 2 },
    { at: NOW - 50_000, runners: 1 },
    { at: NOW - 70_000, runners: 2 },
  ]
  const all = runnersOf({ announced: [], asked }, { wanted: 4, floor: 0, now: NOW })
  // The fourth was asked for by nobody who keeps decisions.
  expect(all.map(({ ageS }) => ageS)).toEqual([70, 30, 10, 0])
})

test('starts take from the decision that asked for one more to the announcement of one more', () => {
  const at = (sinceAt: number, i: number) => ({ name: `r${i}`, sinceAt, seenAt: sinceAt })
  const announced = [80_000, 90_000, 170_000].map(at)
  const asked = [
    { at: 100_000, runners: 3 },
    { at: 0, runners: 2 },
    { at: -50_000, runners: 0 },
  ]
  expect(coldStartsOf({ announced, asked })).toEqual([70, 90, 80])
})

test('a start that nobody asked for, and one that came an hour later, say nothing of how long one takes', () => {
  const lost = [{ name: 'r', sinceAt: 5_000, seenAt: 5_000 }]
  const usual = coldStartsOf({ announced: [], asked: [] })
  expect(usual).toHaveLength(1)
  expect(coldStartsOf({ announced: lost, asked: [{ at: 0, runners: 1 }] })).toEqual(usual)
  const asked = [
    { at: 0, runners: 1 },
    { at: -1, runners: 0 },
  ]
  const late = [{ name: 'r', sinceAt: 3_600_000, seenAt: 3_600_000 }]
  expect(coldStartsOf({ announced: late, asked })).toEqual(usual)
})

test('a runner that comes back after it was taken to be gone is another start, and one that is heard is not', async () => {
  const clock = handClock()
  const hardware = 'class-of-the-test'
  const announce = () =>
    db.system(tx =>
      models.hardware.announce(
        { tx, clock },
        {
          name: 'r',
          hardware,
          providers: ['cpu'],
          lacks: null,
          cores: 4,
          modelMemoryMb: 512,
          ...IDLE,
        },
      ),
    )
  const sinceAt = async () => {
    const { announced } = await db.system(tx => read(tx, { hardware, now: clock.now() }))
    return announced[0]!.sinceAt
  }
  const began = clock.now()
  await announce()
  clock.forward(RUNNER_SILENT_MS - 1)
  await announce()
  expect(await sinceAt()).toBe(began)
  clock.forward(RUNNER_SILENT_MS)
  await announce()
  expect(await sinceAt()).toBe(clock.now())
})

test('what was asked for is read from the decisions that were kept, the newest first', async () => {
  const hardware = 'class-of-decisions'
  const decision = { hardware, need: { runners: 1, started: 1 }, drain: [], reasons: ['because'] }
  for (const spot of [2, 3]) {
    const desired = { spot, on_demand: 1 }
    const at = new Date(spot * 1_000)
    await db.system(tx => keep(tx, { ...decision, desired }, { at, coldS: 2 }))
  }
  const { asked } = await db.system(tx => read(tx, { hardware, now: NOW }))
  expect(asked).toEqual([
    { at: 3_000, runners: 4 },
    { at: 2_000, runners: 3 },
  ])
})
