/** Tensors that come as typed contents, turned into the bytes that everything behind the edge takes. */
import { invalid, shown } from '#core/inference/invalid.ts'
import { writeBinary } from '#core/inference/oip.ts'
import {
  allocate,
  byteSize,
  bytesOf,
  elementCount,
  type TensorData,
} from '#core/inference/tensor.ts'
import { DATATYPES, type Datatype } from '#schemas/signature.ts'

export type TensorContents = {
  bool_contents?: boolean[]
  int_contents?: number[]
  int64_contents?: string[]
  uint_contents?: number[]
  uint64_contents?: string[]
  fp32_contents?: number[]
  fp64_contents?: number[]
  bytes_contents?: Uint8Array[]
}
type Field = keyof TensorContents

/** Where the values of a datatype stand; null: they travel raw alone. */
const FIELDS: Record<Datatype, Field | null> = {
  BOOL: 'bool_contents',
  INT8: 'int_contents',
  INT16: 'int_contents',
  INT32: 'int_contents',
  INT64: 'int64_contents',
  UINT8: 'uint_contents',
  UINT16: 'uint_contents',
  UINT32: 'uint_contents',
  UINT64: 'uint64_contents',
  FP16: null,
  BF16: null,
  FP32: 'fp32_contents',
  FP64: 'fp64_contents',
  BYTES: 'bytes_contents',
}

/** The bytes of an input. Throws `invalid_input` for contents that do not fit its datatype and shape. */
export function rawContents(input: {
  name?: string
  datatype?: string
  shape?: string[]
  contents?: TensorContents | null
}): Uint8Array {
  const name = shown(input.name ?? '')
  const datatype = datatypeOf(name, input.datatype)
  const field = FIELDS[datatype]
  if (field === null) {
    return invalid(`Input ${name} is ${datatype}, which travels in raw_input_contents alone.`)
  }
  const contents = input.contents ?? {}
  for (const other of Object.keys(contents)) {
    if (other !== field && contents[other as Field]!.length > 0) {
      invalid(`Input ${name} is ${datatype}: its values belong in ${field}, not in ${other}.`)
    }
  }
  const values = contents[field] ?? []
  const shape = (input.shape ?? []).map(Number)
  const count = elementCount(shape)
  if (count !== values.length) {
    invalid(
      `Input ${name}: ${field} has ${values.length} values, but shape [${shape}] holds ${count < 0 ? 'more than can be sent' : count}.`,
    )
  }
  return toBytes(filled(name, datatype, values))
}

function filled(name: string, datatype: Datatype, values: readonly unknown[]): TensorData {
  if (datatype === 'BYTES') return values as Uint8Array[]
  const data = allocate(datatype, values.length) as Int32Array
  for (let i = 0; i < values.length; i++) {
    const given = values[i]
    const value = typeof given === 'string' ? BigInt(given) : Number(given)
    data[i] = value as number
    // The messages have no smaller integers than 32 bits.
    if (data[i] !== value && datatype !== 'FP32' && datatype !== 'FP64') {
      invalid(`Input ${name}: value ${i} is ${shown(given)}, which does not fit ${datatype}.`)
    }
  }
  return data
}

function toBytes(data: TensorData): Uint8Array {
  if (!Array.isArray(data)) return bytesOf(data)
  const bytes = new Uint8Array(byteSize(data))
  writeBinary(data, bytes, 0)
  return bytes
}

function datatypeOf(name: string, given = ''): Datatype {
  if ((DATATYPES as readonly string[]).includes(given)) return given as Datatype
  return invalid(`Input ${name}: ${shown(given)} is no datatype of the protocol.`)
}
