/**
 * Results as lines of JSON, put together by hand: a generic serializer costs more than the inference of
 * a small model. Numbers are written so that they read back as the same bits.
 */

import { slice } from '#core/inference/rows.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import type { ErrorCode } from '#schemas/errors.ts'
import type { Signature } from '#schemas/signature.ts'
import { decodeHalf } from './half.ts'

/** Rows `from` up to, not including, `to` of a batch with their outputs in the signature's order. */
export type Block = { from: number; to: number; outputs: Tensor[] }
export type RowError = { code: ErrorCode; detail: string }
/** `lines`: what callers read; `columns`: flat and by number, to become columns of Parquet. */
export type Form = 'lines' | 'columns'

export type RowWriter = {
  outputs(index: number, id: string | null, values: string): string
  error(index: number, id: string | null, error: RowError): string
  /** What stands for the outputs of each row of a block. */
  values(block: Block): string[]
}

export function rowWriter(signature: Signature, form: Form): RowWriter {
  const heads = signature.outputs.map(({ name }, i) => {
    const key = form === 'lines' ? JSON.stringify(name) : `"o${i}"`
    return `${i === 0 ? '' : ','}${key}:`
  })
  const start = (index: number, id: string | null) =>
    id === null || form === 'columns' ? `{"index":${index}` : `{"index":${index},"id":${id}`
  return {
    outputs: (index, id, values) =>
      form === 'lines'
        ? `${start(index, id)},"outputs":{${values}}}\n`
        : `${start(index, id)},${values}}\n`,
    error: (index, id, { code, detail }) =>
      form === 'lines'
        ? `${start(index, id)},"error":${JSON.stringify({ code, detail })}}\n`
        : `${start(index, id)},"error":${JSON.stringify(`${code}: ${detail}`)}}\n`,
    values({ from, to, outputs }) {
      const texts = new Array<string>(to - from).fill('')
      outputs.forEach((tensor, i) => {
        appendRows(texts, heads[i]!, tensor, signature.outputs[i]!.batch_axis)
      })
      return texts
    },
  }
}

/** Adds each row's part of an output to the row's text. */
function appendRows(texts: string[], head: string, tensor: Tensor, axis: number | null): void {
  if (axis !== null && axis > 0) {
    for (let row = 0; row < texts.length; row++) {
      const own = slice(tensor, axis, row, row + 1)
      texts[row] += head + nested(elements(own), own.shape.toSpliced(axis, 1), 0)
    }
    return
  }
  const read = elements(tensor)
  const shape = axis === null ? tensor.shape : tensor.shape.slice(1)
  // An output without rows is the same for all.
  const stride = axis === null ? 0 : product(shape)
  for (let row = 0; row < texts.length; row++) {
    texts[row] += head + nested(read, shape, row * stride)
  }
}

function nested(read: (at: number) => string, shape: number[], at: number, depth = 0): string {
  if (depth === shape.length) return read(at)
  const size = shape[depth]!
  let text = '['
  if (depth === shape.length - 1) {
    for (let i = 0; i < size; i++) text += i === 0 ? read(at + i) : `,${read(at + i)}`
    return `${text}]`
  }
  const stride = product(shape.slice(depth + 1))
  for (let i = 0; i < size; i++) {
    text += (i === 0 ? '' : ',') + nested(read, shape, at + i * stride, depth + 1)
  }
  return `${text}]`
}

/** JSON of the element at a place. Floats without a number in JSON are strings, as online. */
function elements({ datatype, data }: Tensor): (at: number) => string {
  if (Array.isArray(data)) return at => JSON.stringify(decoder.decode(data[at]!))
  if (datatype === 'BOOL') return at => (data[at] ? 'true' : 'false')
  if (datatype === 'FP16') return float(decodeHalf(data as Uint16Array))
  if (datatype === 'FP32' || datatype === 'FP64') return float(data as Float32Array)
  return at => `${data[at]}`
}

function float(values: ArrayLike<number>): (at: number) => string {
  return at => {
    const value = values[at]!
    if (value - value !== 0) return `"${value}"`
    // The sign of zero is a bit as well.
    return value === 0 && Object.is(value, -0) ? '-0.0' : `${value}`
  }
}

function product(sizes: readonly number[]): number {
  let count = 1
  for (const size of sizes) count *= size
  return count
}

const decoder = new TextDecoder()
