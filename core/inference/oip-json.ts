/**
 * Tensor values as JSON. Integers are exact to 64 bits. JSON has no NaN and no infinities; they are
 * written as the strings "NaN", "Infinity" and "-Infinity", as Protocol Buffers' JSON mapping does
 * (null would make all three alike), and the bare words that Python's encoder emits are read too.
 * FP16 and BF16 have no JSON form in the protocol.
 */
import type { TensorSpec } from '#schemas/signature.ts'
import { invalid, shown } from './invalid.ts'
import { allocate, type Tensor, type TensorData } from './tensor.ts'

const FP32_MAX = 3.4028234663852886e38
// Half a step above the largest: what still rounds to it.
const FP32_BOUND = 3.4028235677973366e38
const DEPTH_MAX = 100
const documents = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })
// A byte-order mark inside a tensor is the caller's own.
const elements = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** Parses the JSON part of a body. With `wide`, integers past 2^53 come as bigint. */
export function parseJson(bytes: Uint8Array, wide: boolean): unknown {
  let text: string
  try {
    text = documents.decode(bytes)
  } catch {
    invalid('The JSON of the body is not valid UTF-8.')
  }
  const parse = wide && /\d{16}/.test(text) ? parseWide : JSON.parse
  try {
    return parse(text)
  } catch (error) {
    if (/NaN|Infinity/.test(text)) {
      try {
        return parse(text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, quoteBare))
      } catch {}
    }
    invalid(`The body is not JSON: ${(error as Error).message.slice(0, 200)}`)
  }
}

/** The values of one input, given flat or nested, checked one by one. */
export function fromJson(
  spec: TensorSpec,
  shape: number[],
  count: number,
  data: unknown,
): TensorData {
  if (!Array.isArray(data)) {
    invalid(`Input "${spec.name}": data must be an array of values, not ${shown(data)}.`)
  }
  const values = Array.isArray(data[0]) ? flatten(spec, shape, data) : data
  if (values.length !== count) {
    invalid(
      `Input "${spec.name}": data has ${values.length} values, but shape [${shape}] holds ${count}.`,
    )
  }
  switch (spec.datatype) {
    case 'FP32':
      return floats(spec, values, new Float32Array(count), FP32_BOUND)
    case 'FP64':
      return floats(spec, values, new Float64Array(count), Number.MAX_VALUE)
    case 'BYTES':
      return strings(spec, values)
    case 'INT64':
    case 'UINT64':
      return longs(spec, values, spec.datatype)
    case 'BOOL':
      return booleans(spec, values)
    case 'FP16':
    case 'BF16':
      return invalid(
        `Input "${spec.name}" is ${spec.datatype}, which has no JSON form: send it as binary data with "binary_data_size".`,
      )
    default:
      return integers(spec, values, allocate(spec.datatype, count) as Int32Array)
  }
}

/** The values as the inside of a JSON array. */
export function toJson(tensor: Tensor): string {
  const { data } = tensor
  const last = data.length - 1
  if (last < 0) return ''
  let text = ''
  if (Array.isArray(data)) {
    for (let i = 0; i < last; i++) text += `${JSON.stringify(elements.decode(data[i]!))},`
    return text + JSON.stringify(elements.decode(data[last]!))
  }
  if (tensor.datatype === 'BOOL') {
    for (let i = 0; i < last; i++) text += data[i] ? 'true,' : 'false,'
    return text + (data[last] ? 'true' : 'false')
  }
  if (data instanceof Float32Array || data instanceof Float64Array) {
    for (let i = 0; i < last; i++) text += `${number(data[i]!)},`
    return text + number(data[last]!)
  }
  for (let i = 0; i < last; i++) text += `${data[i]},`
  return text + data[last]
}

function number(value: number): number | string {
  return value - value === 0 ? value : `"${value}"`
}

function floats<A extends Float32Array | Float64Array>(
  spec: TensorSpec,
  values: unknown[],
  out: A,
  bound: number,
): A {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (typeof value === 'number' && value < bound && value > -bound) out[i] = value
    else out[i] = oddFloat(spec, i, value, bound)
  }
  return out
}

/** A float that is no plain number in range: a named one, one read as bigint, the bound itself, or an error. */
function oddFloat(spec: TensorSpec, index: number, value: unknown, bound: number): number {
  if (value === 'NaN' || value === 'Infinity' || value === '-Infinity') return Number(value)
  const plain = typeof value === 'bigint' ? Number(value) : value
  if (typeof plain !== 'number') bad(spec, index, value, 'a number')
  if (Math.abs(plain) < bound || (bound === Number.MAX_VALUE && Math.abs(plain) === bound))
    return plain
  return bad(
    spec,
    index,
    value,
    bound === FP32_BOUND ? `a number within ±${FP32_MAX}` : 'a finite number',
  )
}

function integers(spec: TensorSpec, values: unknown[], out: Int32Array): Int32Array {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    out[i] = value as number
    // Not equal after storing: a fraction, out of range, or no number at all.
    if (out[i] !== value) bad(spec, i, value, `an integer that fits ${spec.datatype}`)
  }
  return out
}

function longs(spec: TensorSpec, values: unknown[], datatype: 'INT64' | 'UINT64'): TensorData {
  const out = allocate(datatype, values.length) as BigInt64Array
  for (let i = 0; i < values.length; i++) {
    let value = values[i]
    if (Number.isSafeInteger(value)) value = BigInt(value as number)
    else if (typeof value === 'string' && /^-?\d{1,20}$/.test(value)) value = BigInt(value)
    if (typeof value !== 'bigint') {
      bad(spec, i, value, `an integer that fits ${datatype}, with all its digits`)
    }
    out[i] = value
    if (out[i] !== value) bad(spec, i, value, `an integer that fits ${datatype}`)
  }
  return out
}

function booleans(spec: TensorSpec, values: unknown[]): Uint8Array {
  const out = new Uint8Array(values.length)
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (value === true || value === 1) out[i] = 1
    else if (value !== false && value !== 0) bad(spec, i, value, 'true, false, 1 or 0')
  }
  return out
}

function strings(spec: TensorSpec, values: unknown[]): Uint8Array[] {
  return values.map((value, i) =>
    encoder.encode(typeof value === 'string' ? value : bad(spec, i, value, 'a string')),
  )
}

function bad(spec: TensorSpec, index: number, value: unknown, wanted: string): never {
  invalid(
    `Input "${spec.name}" (${spec.datatype}): value ${index} is ${shown(value)}; it must be ${wanted}.`,
  )
}

/**
 * Nested arrays as one row-major list. Brackets may be left out between some dimensions, but where
 * they stand they must fall on the shape's own boundaries: a transposed array is not taken silently.
 */
function flatten(spec: TensorSpec, shape: number[], data: unknown[]): unknown[] {
  const boundaries = new Set([1])
  let product = 1
  for (const dim of shape) {
    product *= dim
    boundaries.add(product)
  }
  let level = data
  for (let depth = 1; Array.isArray(level[0]); depth++) {
    if (depth >= DEPTH_MAX)
      invalid(`Input "${spec.name}": data is nested deeper than ${DEPTH_MAX}.`)
    const width = level[0].length
    const next: unknown[] = []
    for (const row of level) {
      if (!Array.isArray(row) || row.length !== width) {
        invalid(`Input "${spec.name}": data is ragged; nested arrays of one level have one length.`)
      }
      for (const value of row) next.push(value)
    }
    if (!boundaries.has(level.length)) {
      invalid(
        `Input "${spec.name}": data is nested as ${level.length} arrays of ${width}, which does not follow shape [${shape}].`,
      )
    }
    level = next
  }
  return level
}

function parseWide(text: string): unknown {
  return JSON.parse(text, ((_key: string, value: unknown, context: { source: string }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context.source)
      ? BigInt(context.source)
      : value) as (key: string, value: unknown) => unknown)
}

function quoteBare(token: string): string {
  return token.startsWith('"') ? token : `"${token}"`
}
