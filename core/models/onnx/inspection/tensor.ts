/** Reads a TensorProto without its data, and checks that the data is what the dimensions ask for. */

import { ELEMENT_TYPES, type ElementType, ENTRY, TENSOR } from '../proto.ts'
import { type Field, invalid, type Span, WIRE, type WireReader } from '../wire.ts'
import { checkExternal } from './external.ts'
import { quote, shapeText } from './quote.ts'

export type TensorFacts = {
  name: string
  dims: bigint[]
  elements: bigint
  bytes: bigint
  /** Path of the file that holds the data; null: it stands in the graph. */
  external: string | null
  /** The values of a small INT64 tensor: those that may say how large another tensor becomes. */
  integers: bigint[] | null
}

const RANK_MAX = 64
const INTEGERS_MAX = 64n
const STRING_BYTES_MAX = 64 * 1024
const INT64 = 7

type Parts = {
  name: string
  dims: bigint[]
  type: number
  raw: Field | null
  /** Elements in typed fields, in units of what the field holds. */
  typed: number
  integers: bigint[]
  isExternal: boolean
  entries: Map<string, string>
}

/** `where` says in which node the tensor stands; empty for an initializer. */
export function readTensor(
  reader: WireReader,
  span: Span,
  where: string,
  bundled: Map<string, number>,
): TensorFacts {
  const parts = readParts(reader, span)
  const what = where || `Initializer ${quote(parts.name)}`
  const type = ELEMENT_TYPES[parts.type]
  if (!type)
    throw invalid(`${what} has the element type ${parts.type}, which ONNX does not define.`)
  const elements = product(parts.dims, what)
  const bytes = (elements * BigInt(type.bits) + 7n) / 8n
  let external: string | null = null
  if (parts.isExternal || parts.entries.size > 0) {
    if (parts.raw || parts.typed > 0)
      throw invalid(`${what} has its data both inside and outside of the graph.`)
    external = checkExternal(what, parts.entries, bytes, bundled)
  } else {
    checkInside(what, parts, type, elements, bytes)
  }
  const integers = readIntegers(reader, parts, elements)
  return { name: parts.name, dims: parts.dims, elements, bytes, external, integers }
}

/** The number of elements of a shape. Throws on a negative dimension. */
export function product(dims: readonly bigint[], what: string): bigint {
  let elements = 1n
  for (const dim of dims) {
    if (dim < 0n)
      throw invalid(`${what} has the negative dimension ${dim} in its shape ${shapeText(dims)}.`)
    elements *= dim
  }
  return elements
}

function readParts(reader: WireReader, span: Span): Parts {
  const parts: Parts = {
    name: '',
    dims: [],
    type: 0,
    raw: null,
    typed: 0,
    integers: [],
    isExternal: false,
    entries: new Map(),
  }
  for (const field of reader.fields(span)) readPart(reader, parts, field)
  return parts
}

function readPart(reader: WireReader, parts: Parts, field: Field): void {
  switch (field.number) {
    case TENSOR.name:
      parts.name = reader.text(field)
      break
    case TENSOR.dims:
      for (const dim of reader.integers(field)) {
        if (parts.dims.push(dim) > RANK_MAX)
          throw invalid(`A tensor has more than ${RANK_MAX} dimensions.`)
      }
      break
    case TENSOR.dataType:
      parts.type = Number(reader.unsigned(field))
      break
    case TENSOR.rawData:
      reader.message(field)
      parts.raw = field
      break
    case TENSOR.segment:
      throw invalid('A tensor is stored in segments, which is not supported. Save the model anew.')
    case TENSOR.externalData:
      readEntry(reader, parts.entries, reader.message(field))
      break
    case TENSOR.dataLocation:
      parts.isExternal = reader.unsigned(field) === 1n
      break
    default:
      parts.typed += countTyped(reader, parts, field)
  }
}

function countTyped(reader: WireReader, parts: Parts, field: Field): number {
  const length = field.end - field.start
  const packed = field.wire === WIRE.bytes
  switch (field.number) {
    case TENSOR.floatData:
      return packed ? length / 4 : 1
    case TENSOR.doubleData:
      return packed ? length / 8 : 1
    case TENSOR.int64Data: {
      const count = reader.countVarints(field)
      if (count + parts.integers.length <= INTEGERS_MAX)
        parts.integers.push(...reader.integers(field))
      return count
    }
    case TENSOR.int32Data:
    case TENSOR.uint64Data:
      return reader.countVarints(field)
    case TENSOR.stringData:
      return 1
    default:
      return 0
  }
}

function readEntry(reader: WireReader, entries: Map<string, string>, span: Span): void {
  let key = ''
  let value = ''
  for (const field of reader.fields(span)) {
    if (field.number === ENTRY.key) key = reader.text(field)
    if (field.number === ENTRY.value) value = reader.text(field)
  }
  // The runtime and this check must not read different ones of two.
  if (entries.has(key))
    throw invalid(`A tensor names the key ${quote(key)} of its external data twice.`)
  entries.set(key, value)
}

function checkInside(
  what: string,
  parts: Parts,
  type: ElementType,
  elements: bigint,
  bytes: bigint,
): void {
  const shape = `${shapeText(parts.dims)} ${type.name}`
  if (parts.raw) {
    const given = parts.raw.end - parts.raw.start
    if (parts.typed > 0) throw invalid(`${what} holds its data in two forms at once.`)
    if (type.bits === 0)
      throw invalid(`${what} holds strings as raw bytes, which ONNX does not define.`)
    if (BigInt(given) !== bytes) {
      throw invalid(`${what} declares ${shape}, which is ${bytes} bytes, and holds ${given}.`)
    }
    return
  }
  const needed = typedEntries(type, elements)
  if (!Number.isInteger(parts.typed) || BigInt(parts.typed) !== needed) {
    throw invalid(`${what} declares ${shape}, which is ${needed} values, and holds ${parts.typed}.`)
  }
}

/** Typed fields hold a complex number in two entries and several elements below a byte in one. */
function typedEntries(type: ElementType, elements: bigint): bigint {
  if (type.name.startsWith('COMPLEX')) return elements * 2n
  if (type.bits === 0 || type.bits >= 8) return elements
  return (elements * BigInt(type.bits) + 7n) / 8n
}

function readIntegers(reader: WireReader, parts: Parts, elements: bigint): bigint[] | null {
  if (parts.type !== INT64 || elements > INTEGERS_MAX || parts.dims.length > 1) return null
  if (!parts.raw) return parts.integers
  const bytes = reader.bytes(parts.raw, STRING_BYTES_MAX)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: Number(elements) }, (_, i) => view.getBigInt64(i * 8, true))
}
