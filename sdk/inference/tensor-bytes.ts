/**
 * Tensor values as raw bytes (Triton's extension `binary_tensor_data`): little-endian, row-major; an
 * element of BYTES is its length in 4 bytes and then itself.
 */
import { GalleyError } from '../error.ts'
import type { Datatype } from './infer.ts'

export type BytesOf =
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>[]
export type TensorData = BytesOf | string[] | boolean[]

type ArrayOf = { new (buffer: ArrayBuffer): BytesOf }

/** FP16 and BF16 travel as their bits. */
const ARRAYS: Record<Exclude<Datatype, 'BYTES'>, ArrayOf> = {
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP32: Float32Array,
  FP64: Float64Array,
  FP16: Uint16Array,
  BF16: Uint16Array,
  BOOL: Uint8Array,
}

export function encode(
  data: TensorData,
  datatype: Datatype | undefined,
): { datatype: Datatype; bytes: Uint8Array } {
  if (Array.isArray(data)) return encodeList(data, datatype)
  const own = Object.entries(ARRAYS).find(([, array]) => data instanceof array)![0] as Datatype
  const said = datatype ?? own
  if (said === 'BYTES' || !(data instanceof ARRAYS[said])) {
    throw new GalleyError('invalid_input', `A ${data.constructor.name} cannot hold ${said}.`)
  }
  return { datatype: said, bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) }
}

function encodeList(data: (string | boolean | Uint8Array)[], datatype: Datatype | undefined) {
  if (typeof data[0] === 'boolean' || datatype === 'BOOL') {
    return { datatype: 'BOOL' as const, bytes: Uint8Array.from(data, each => (each ? 1 : 0)) }
  }
  const utf8 = new TextEncoder()
  const elements = data.map(each => (each instanceof Uint8Array ? each : utf8.encode(String(each))))
  const bytes = new Uint8Array(elements.reduce((sum, element) => sum + 4 + element.length, 0))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const element of elements) {
    view.setUint32(at, element.length, true)
    bytes.set(element, at + 4)
    at += 4 + element.length
  }
  return { datatype: 'BYTES' as const, bytes }
}

/** `bytes` must begin at the start of its buffer, as a slice does. */
export function decode(bytes: Uint8Array<ArrayBuffer>, datatype: Datatype): BytesOf {
  if (datatype !== 'BYTES') return new ARRAYS[datatype](bytes.buffer)
  const view = new DataView(bytes.buffer)
  const elements: Uint8Array<ArrayBuffer>[] = []
  for (let at = 0; at < bytes.length; ) {
    const size = view.getUint32(at, true)
    elements.push(bytes.subarray(at + 4, at + 4 + size))
    at += 4 + size
  }
  return elements
}
