/** The part of its time that a runner says online requests take, against one who counts every tenth of a second. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createPace } from '#gpu-runners/batcher/pace.ts'
import { openLoad } from '#gpu-runners/load.ts'

/** Of ticks, a tenth of a second each. */
const TICKS = 400
const WINDOW = 100
const always = new Set(Array.from({ length: TICKS }, (_, tick) => tick))
const ticks = fc.oneof(
  fc.uniqueArray(fc.nat(TICKS), { maxLength: 120 }).map(all => new Set(all)),
  fc.constant(always),
)
const engine = fc
  .record({
    born: fc.nat(TICKS),
    lives: fc.integer({ min: 1, max: TICKS }),
    threads: fc.integer({ min: 1, max: 3 }),
    busy: ticks,
  })
  .map(({ born, lives, threads, busy }) => ({ born, died: born + lives, threads, busy }))
const day = fc.record({
  engines: fc.array(engine, { maxLength: 3 }),
  loop: ticks,
  other: fc.uniqueArray(fc.nat(TICKS), { maxLength: 5 }),
  looks: fc
    .uniqueArray(fc.nat(TICKS), { minLength: 1, maxLength: 60 })
    .map(all => all.toSorted((a, b) => a - b)),
  cores: fc.integer({ min: 1, max: 4 }),
})

test('the share is that of the busiest process, of the cores, or of the main thread, over the window', () => {
  fc.assert(
    fc.property(day, ({ engines, loop, other, looks, cores }) => {
      let now = 0
      const within = (of: ReadonlySet<number>, from: number, to: number) =>
        [...of].filter(tick => tick >= from && tick < to).length
      const load = openLoad(
        {
          now: () => now * 100,
          loopMs: () => 100 * within(loop, 0, now),
          cores,
          slots: () =>
            engines.flatMap(({ born, died, threads, busy }, pid) =>
              born <= now && now < died
                ? [{ pid, threads, workedMs: 100 * within(busy, born, now) }]
                : [],
            ),
        },
        WINDOW * 100,
      )
      for (const [i, look] of looks.entries()) {
        const since = i === 0 ? -1 : looks[i - 1]!
        // Other work that begins between two looks, and ends at once.
        if (other.some(tick => tick > since && tick <= look)) load.other()()
        now = look
        load.look()

        const from = looks.slice(0, i).findLast(one => one <= look - WINDOW) ?? looks[0]!
        const seen = looks.slice(0, i + 1).filter(one => one >= from)
        const worked = engines.map(({ born, died, busy }) => {
          const last = looks.slice(0, i + 1).findLast(one => one >= born && one < died)
          return last === undefined ? 0 : within(busy, Math.max(born, from), last)
        })
        let main = 0
        for (const [j, to] of seen.entries()) {
          if (j === 0) continue
          const before = seen[j - 1]!
          const isMixed = other.some(tick => tick > before && tick <= to)
          const hasRun = engines.some(
            ({ born, died, busy }) =>
              born <= to && to < died && within(busy, Math.max(born, before), to) > 0,
          )
          if (hasRun && !isMixed) main += within(loop, before, to)
        }
        const onCores = worked.reduce((sum, all, n) => sum + all * engines[n]!.threads, 0) / cores
        const most = Math.max(0, ...worked, onCores, main)
        const share = look === from ? 0 : Math.min(1, most / (look - from))
        expect(load.share()).toBeCloseTo(share, 9)
      }
    }),
    { numRuns: 500 },
  )
})

test('while other work is under way the main thread is nobody s, and afterwards it counts again', () => {
  let now = 0
  const slots = () => [{ pid: 1, threads: 1, workedMs: now / 10 }]
  const load = openLoad({ now: () => now, slots, loopMs: () => now / 2, cores: 8 })
  const shareAfter = (seconds: number) => {
    for (let s = 0; s < seconds; s++) {
      load.look()
      now += 1_000
    }
    load.look()
    return load.share()
  }
  const end = load.other()
  expect(shareAfter(20)).toBeCloseTo(0.1, 9)
  end()
  expect(shareAfter(21)).toBeCloseTo(0.5, 9)
})

test('a run counts for what its rows would take in full batches', () => {
  const rows = fc.integer({ min: 1, max: 64 })
  fc.assert(
    fc.property(rows, rows, fc.double({ min: 0.01, max: 5, noNaN: true }), (n, most, perRow) => {
      let now = 0
      const pace = createPace({ now: () => now })
      const runMs = (of: number) => 3 + perRow * of
      expect(pace.fullness(n, most)).toBe(1)
      for (let i = 0; i < 40; i++) {
        const of = 1 + (i % 64)
        const end = pace.begin(of)
        now += runMs(of)
        end(true)
      }
      const part = pace.fullness(n, most)
      expect(part).toBeGreaterThan(0)
      expect(part).toBeLessThanOrEqual(1)
      if (n >= most) expect(part).toBe(1)
      // In so many runs of `most` rows, of which the last may be a part of one.
      else expect(part).toBeCloseTo(((n / most) * runMs(most)) / runMs(n), 1)
    }),
  )
})
