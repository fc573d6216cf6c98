/** The fraud example's measures count what they say: each beside a naive count of the same. */
import fc from 'fast-check'
import * as ort from 'onnxruntime-node'
import { expect, test } from 'vitest'
import { cheapest, costOf, type Judged } from '../../../examples/fraud/costs.ts'
import { quality } from '../../../examples/fraud/measure.ts'
import { fit, toOnnx } from '../../../examples/fraud/network.ts'
import { randomOf } from '../../../examples/fraud/random.ts'

const scored = fc
  .array(fc.record({ score: fc.integer({ min: 0, max: 9 }), label: fc.nat(1) }), {
    minLength: 2,
    maxLength: 60,
  })
  .filter(rows => new Set(rows.map(({ label }) => label)).size === 2)

test('the area under the curve is the share of pairs in the right order, ties by half', () => {
  fc.assert(
    fc.property(scored, rows => {
      const frauds = rows.filter(({ label }) => label === 1)
      const honest = rows.filter(({ label }) => label === 0)
      const wins = frauds.flatMap(({ score: a }) =>
        honest.map(({ score: b }) => (a > b ? 1 : a === b ? 0.5 : 0)),
      )
      const share = wins.reduce((sum: number, win) => sum + win, 0) / wins.length
      expect(quality(rows).auc).toBeCloseTo(share, 12)
    }),
  )
})

test('average precision is the precision at each threshold, weighed by the recall that it adds', () => {
  fc.assert(
    fc.property(scored, rows => {
      const thresholds = [...new Set(rows.map(({ score }) => score))].sort((a, b) => b - a)
      const positives = rows.filter(({ label }) => label === 1).length
      const at = thresholds.map(threshold => {
        const stopped = rows.filter(({ score }) => score >= threshold)
        const hits = stopped.filter(({ label }) => label === 1).length
        return { recall: hits / positives, precision: hits / stopped.length }
      })
      const area = at.reduce(
        (sum, { recall, precision }, i) => sum + (recall - (at[i - 1]?.recall ?? 0)) * precision,
        0,
      )
      expect(quality(rows).average_precision).toBeCloseTo(area, 12)
    }),
  )
})

test('no other pair of thresholds costs less than those that are chosen', () => {
  const judged = fc.array(
    fc.record({
      score: fc.integer({ min: 0, max: 6 }),
      label: fc.nat(1),
      amount: fc.integer({ min: 0, max: 60 }),
    }),
    { maxLength: 25 },
  )
  const total = (rows: Judged[], review: number, decline: number) =>
    rows.reduce((sum, row) => sum + costOf(row, { review, decline }), 0)
  fc.assert(
    fc.property(judged, rows => {
      const { review, decline } = cheapest(rows)
      expect(decline).toBeGreaterThanOrEqual(review)
      const lines = [0, 1, 2, 3, 4, 5, 6, Infinity]
      const costs = lines.flatMap(low =>
        lines.filter(high => high >= low).map(high => total(rows, low, high)),
      )
      expect(total(rows, review, decline)).toBe(Math.min(...costs))
    }),
  )
})

test('the network learns what is there, and its ONNX form scores as it was fitted', async () => {
  const random = randomOf(3)
  const rows = Float32Array.from({ length: 3_000 * 2 }, () => random.normal())
  const labels = Uint8Array.from({ length: 3_000 }, (_, i) =>
    rows[2 * i]! * rows[2 * i + 1]! > 0.8 ? 1 : 0,
  )
  const data = { rows, width: 2, labels }
  const bytes = toOnnx(fit(data, { seed: 1, epochs: 30, balance: 3, hidden: [24, 12] }))
  expect(toOnnx(fit(data, { seed: 1, epochs: 30, balance: 3, hidden: [24, 12] }))).toEqual(bytes)
  const session = await ort.InferenceSession.create(bytes)
  const { score } = await session.run({ features: new ort.Tensor('float32', rows, [3_000, 2]) })
  const scores = score!.data as Float32Array
  const scoredRows = [...labels].map((label, i) => ({ score: scores[i]!, label }))
  expect(quality(scoredRows).auc).toBeGreaterThan(0.95)
})
