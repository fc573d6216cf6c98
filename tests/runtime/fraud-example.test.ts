/** The fraud example: a stated world that anybody can make again, and measures that count what they say. */
import fc from 'fast-check'
import * as ort from 'onnxruntime-node'
import { expect, test } from 'vitest'
import { quality } from '../../examples/fraud/measure.ts'
import { fit, toOnnx } from '../../examples/fraud/network.ts'
import { randomOf } from '../../examples/fraud/random.ts'
import { ATTACKS, payments } from '../../examples/fraud/stream.ts'
import { makeWorld } from '../../examples/fraud/world.ts'

const world = () => makeWorld({ seed: 7, cards: 800, merchants: 60 })

test('the same seed gives the same payments, in order of time, with every attack among them', () => {
  const stream = payments(world(), { seed: 7, days: 60 })
  expect(payments(world(), { seed: 7, days: 60 })).toEqual(stream)
  expect(payments(world(), { seed: 8, days: 60 })).not.toEqual(stream)
  expect(stream.every(({ time }, i) => i === 0 || time >= stream[i - 1]!.time)).toBe(true)
  expect(new Set(stream.map(({ attack }) => attack))).toEqual(new Set([null, ...ATTACKS]))
  expect(stream.every(({ time, labelTime }) => labelTime > time)).toBe(true)
})

test('the area under the curve is the share of pairs in the right order, ties by half', () => {
  const scored = fc.array(fc.record({ score: fc.integer({ min: 0, max: 9 }), label: fc.nat(1) }), {
    minLength: 2,
    maxLength: 60,
  })
  fc.assert(
    fc.property(scored, rows => {
      const frauds = rows.filter(({ label }) => label === 1)
      const honest = rows.filter(({ label }) => label === 0)
      fc.pre(frauds.length > 0 && honest.length > 0)
      const wins = frauds.flatMap(({ score: a }) =>
        honest.map(({ score: b }) => (a > b ? 1 : a === b ? 0.5 : 0)),
      )
      const share = wins.reduce((sum: number, win) => sum + win, 0) / wins.length
      expect(quality(rows).auc).toBeCloseTo(share, 12)
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
  const bytes = toOnnx(fit(data, { seed: 1, epochs: 30, balance: 3 }))
  expect(toOnnx(fit(data, { seed: 1, epochs: 30, balance: 3 }))).toEqual(bytes)
  const session = await ort.InferenceSession.create(bytes)
  const { score } = await session.run({ features: new ort.Tensor('float32', rows, [3_000, 2]) })
  const scores = score!.data as Float32Array
  const scored = [...labels].map((label, i) => ({ score: scores[i]!, label }))
  expect(quality(scored).auc).toBeGreaterThan(0.95)
})
