/**
 * Half precision between JavaScript and ONNX Runtime. Where the language has Float16Array, the runtime's
 * JavaScript half makes tensors of it and its native half cannot read them ("not enough space: expected
 * 64, got 0", onnxruntime-node 1.30). Importing this file before the runtime takes the class away, and
 * both halves fall back to Uint16Array with the bits.
 */
Reflect.deleteProperty(globalThis, 'Float16Array')

/** The number that 16 bits of IEEE 754 binary16 stand for. */
export function float16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}
