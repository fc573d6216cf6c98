/** Elements of tensors in ONNX's raw form: little-endian, row-major, one byte for a BOOL. */
import type { Datatype } from '#schemas/signature.ts'

export type Values = Iterable<number | bigint | string | boolean>

type Put = (view: DataView, at: number, value: number) => void
type PutBig = (view: DataView, at: number, value: bigint) => void

const NUMBERS: Partial<Record<Datatype, { bytes: number; put: Put }>> = {
  BOOL: { bytes: 1, put: (view, at, value) => view.setUint8(at, value ? 1 : 0) },
  UINT8: { bytes: 1, put: (view, at, value) => view.setUint8(at, value) },
  INT8: { bytes: 1, put: (view, at, value) => view.setInt8(at, value) },
  UINT16: { bytes: 2, put: (view, at, value) => view.setUint16(at, value, true) },
  INT16: { bytes: 2, put: (view, at, value) => view.setInt16(at, value, true) },
  UINT32: { bytes: 4, put: (view, at, value) => view.setUint32(at, value, true) },
  INT32: { bytes: 4, put: (view, at, value) => view.setInt32(at, value, true) },
  FP16: { bytes: 2, put: (view, at, value) => view.setUint16(at, float16Bits(value), true) },
  BF16: { bytes: 2, put: (view, at, value) => view.setUint16(at, bfloat16Bits(value), true) },
  FP32: { bytes: 4, put: (view, at, value) => view.setFloat32(at, value, true) },
  FP64: { bytes: 8, put: (view, at, value) => view.setFloat64(at, value, true) },
}
const BIG: Partial<Record<Datatype, PutBig>> = {
  INT64: (view, at, value) => view.setBigInt64(at, value, true),
  UINT64: (view, at, value) => view.setBigUint64(at, value, true),
}

/** The raw bytes of the values. BYTES has no raw form and throws. */
export function rawBytes(datatype: Datatype, values: Values): Uint8Array {
  const list = [...values]
  const big = BIG[datatype]
  const size = big ? 8 : NUMBERS[datatype]?.bytes
  if (!size) throw new TypeError(`${datatype} has no raw form`)
  const out = new Uint8Array(list.length * size)
  const view = new DataView(out.buffer)
  list.forEach((value, i) => {
    if (big) big(view, i * 8, BigInt(value as number | bigint))
    else NUMBERS[datatype]!.put(view, i * size, Number(value))
  })
  return out
}

const scratch = new DataView(new ArrayBuffer(4))

function float32Bits(value: number): number {
  scratch.setFloat32(0, value)
  return scratch.getUint32(0)
}

/** The upper half of the 32-bit form, rounded to nearest, ties to even. */
function bfloat16Bits(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0
  const bits = float32Bits(value)
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

/** IEEE 754 binary16, rounded to nearest, ties to even; too large becomes infinity. */
export function float16Bits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const size = Math.abs(value)
  if (Number.isNaN(value)) return 0x7e00
  if (size >= 65520) return sign | 0x7c00
  const exponent = Math.max(Math.floor(Math.log2(size)), -14)
  const units = tiesToEven(size / 2 ** (exponent - 10))
  // A carry out of the ten bits lands in the exponent, where it belongs.
  return sign | (units < 1024 ? units : units - 1024 + ((exponent + 15) << 10))
}

function tiesToEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  if (rest !== 0.5) return Math.round(value)
  return floor % 2 === 0 ? floor : floor + 1
}
