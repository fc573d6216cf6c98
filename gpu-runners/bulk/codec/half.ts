/// <reference lib="esnext.float16" />
/** Half precision as numbers: its bits are what tensors hold, and JSON has the numbers. */
import { invalid } from '#core/inference/invalid.ts'
import type { TensorSpec } from '#schemas/signature.ts'

export function encodeHalf(
  spec: TensorSpec,
  values: Float32Array,
  target: Uint16Array,
  at: number,
): void {
  const halves = new Float16Array(values)
  halves.forEach((half, i) => {
    if (!Number.isFinite(half) && Number.isFinite(values[i]!)) {
      invalid(
        `Input "${spec.name}" (FP16): value ${i} is ${values[i]}; it must be a number within ±65504.`,
      )
    }
  })
  target.set(new Uint16Array(halves.buffer), at)
}

export function decodeHalf(bits: Uint16Array): ArrayLike<number> {
  return new Float16Array(bits.buffer, bits.byteOffset, bits.length)
}
