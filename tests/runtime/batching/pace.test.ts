/** How long runs take, as they are foreseen from those that were. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createPace } from '#gpu-runners/batcher/pace.ts'

test('a run is foreseen with its rows and what it takes before the first of them', () => {
  const part = fc.double({ min: 0.01, max: 20, noNaN: true })
  const sizes = fc.uniqueArray(fc.integer({ min: 1, max: 256 }), { minLength: 5, maxLength: 30 })
  fc.assert(
    fc.property(part, part, sizes, (a, b, ran) => {
      const stopwatch = { ms: 0, now: () => stopwatch.ms }
      const pace = createPace(stopwatch)
      // Small ones and large ones, so that the slope is not in doubt; the first counts for nothing.
      for (const rows of [1, 1, 256, ...ran, 1, 256]) {
        const end = pace.begin(rows)
        stopwatch.ms += a * rows + b
        end(true)
      }
      for (const rows of [1, 10, 100]) {
        const foreseen = pace.runMs(rows)
        expect(Math.abs(foreseen - (a * rows + b))).toBeLessThan(0.2 * (a * 128 + b))
        expect(foreseen).toBeCloseTo(pace.rowsMs(rows, rows), 9)
        expect(foreseen).toBeGreaterThan(pace.fixedMs())
        // The longest run within that time is this one.
        expect(pace.rowsIn(foreseen + 1e-9)).toBe(rows)
      }
    }),
  )
})
