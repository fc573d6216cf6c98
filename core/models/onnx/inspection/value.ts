/** The inputs and outputs that a graph declares: names, element types and shapes. */
import type { Datatype } from '#schemas/signature.ts'
import { DIM, ELEMENT_TYPES, SHAPE, TENSOR_TYPE, TYPE, VALUE_INFO } from '../proto.ts'
import { type Field, invalid, type Span, type WireReader } from '../wire.ts'
import { quote, shapeText } from './quote.ts'

export type GraphValue = {
  name: string
  datatype: Datatype
  /** A size, a symbolic name, or null for a dimension without either; null: any rank. */
  dims: (number | string | null)[] | null
}

const RANK_MAX = 32
const NAME_LENGTH_MAX = 512
const KINDS: Record<number, string> = {
  [TYPE.sequence]: 'a sequence',
  [TYPE.map]: 'a map',
  [TYPE.opaque]: 'an opaque value',
  [TYPE.sparse]: 'a sparse tensor',
  [TYPE.optional]: 'an optional value',
}

/** Reads one ValueInfoProto and nothing but its name. */
export function valueName(reader: WireReader, field: Field): string {
  let name = ''
  for (const part of reader.fields(reader.message(field))) {
    if (part.number === VALUE_INFO.name) name = reader.text(part)
  }
  return name
}

/** `side` is 'Input' or 'Output'. */
export function readValue(
  reader: WireReader,
  field: Field,
  side: string,
  elementsMax: number,
): GraphValue {
  const name = valueName(reader, field)
  const what = `${side} ${quote(name)}`
  if (!name) throw invalid(`An ${side.toLowerCase()} of the graph has no name.`)
  if (name.length > NAME_LENGTH_MAX)
    throw invalid(`${what} has a name of more than ${NAME_LENGTH_MAX} characters.`)
  if (name === '__proto__') throw invalid(`${what} has a reserved name; rename it.`)
  const value: GraphValue = { name, datatype: 'FP32', dims: null }
  let typed = false
  for (const part of reader.fields(reader.message(field))) {
    if (part.number !== VALUE_INFO.type) continue
    if (typed) throw invalid(`${what} declares its type twice.`)
    typed = true
    readType(reader, reader.message(part), what, value)
  }
  if (!typed) throw invalid(`${what} declares no type; it must be a tensor with an element type.`)
  checkSize(value, what, elementsMax)
  return value
}

function readType(reader: WireReader, span: Span, what: string, value: GraphValue): void {
  let tensors = 0
  for (const part of reader.fields(span)) {
    const kind = KINDS[part.number]
    if (kind)
      throw invalid(
        `${what} is ${kind}; only tensors can travel in requests. ${hint(what, part.number)}`.trim(),
      )
    if (part.number !== TYPE.tensor) continue
    if (tensors++ > 0) throw invalid(`${what} declares its type twice.`)
    readTensorType(reader, reader.message(part), what, value)
  }
  if (tensors === 0)
    throw invalid(`${what} declares no type; it must be a tensor with an element type.`)
}

function hint(what: string, kind: number): string {
  if (what.startsWith('Input') || (kind !== TYPE.sequence && kind !== TYPE.map)) return ''
  return 'Exporters of scikit-learn make such outputs unless told otherwise: use the option zipmap=False.'
}

function readTensorType(reader: WireReader, span: Span, what: string, value: GraphValue): void {
  let type = 0
  for (const part of reader.fields(span)) {
    if (part.number === TENSOR_TYPE.elemType) type = Number(reader.unsigned(part))
    if (part.number !== TENSOR_TYPE.shape) continue
    if (value.dims) throw invalid(`${what} declares its shape twice.`)
    value.dims = readShape(reader, reader.message(part), what)
  }
  const element = ELEMENT_TYPES[type]
  if (!element) throw invalid(`${what} has the element type ${type}, which ONNX does not define.`)
  // The runtime's binding has no form for BFLOAT16.
  if (!element.datatype || element.datatype === 'BF16') {
    throw invalid(
      `${what} is of element type ${element.name}, which requests cannot carry. Add a Cast so that the graph itself takes and gives FLOAT or another common type.`,
    )
  }
  value.datatype = element.datatype
}

function readShape(reader: WireReader, span: Span, what: string): (number | string | null)[] {
  const dims: (number | string | null)[] = []
  for (const field of reader.fields(span)) {
    if (field.number !== SHAPE.dim) continue
    let dim: number | string | null = null
    for (const part of reader.fields(reader.message(field))) {
      if (part.number === DIM.value) dim = size(reader.signed(part), what)
      if (part.number === DIM.param) dim = reader.text(part) || null
    }
    if (dims.push(dim) > RANK_MAX) throw invalid(`${what} has more than ${RANK_MAX} dimensions.`)
  }
  return dims
}

/** Some exporters write -1 for a dimension that is free. */
function size(value: bigint, what: string): number | null {
  if (value === -1n) return null
  if (value < 0n) throw invalid(`${what} has the negative dimension ${value}.`)
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    throw invalid(`${what} has the dimension ${value}, which no machine can hold.`)
  return Number(value)
}

function checkSize(value: GraphValue, what: string, elementsMax: number): void {
  let elements = 1
  for (const dim of value.dims ?? []) elements *= typeof dim === 'number' ? dim : 1
  if (elements > elementsMax) {
    throw invalid(
      `${what} declares the shape ${shapeText(value.dims ?? [])}; at most ${elementsMax} elements are taken.`,
    )
  }
}
