/** Rows as the tensors that ONNX Runtime takes: one, or several joined along each input's batch axis. */
import { Tensor } from 'onnxruntime-node'
import type { Inspection } from '#core/models/onnx/inspect.ts'
import { float16Bits } from '#core/models/onnx/raw.ts'
import type { Datatype, Signature } from '#schemas/signature.ts'
import { drawRow, type Sizes, type Style, seededRandom, shapeFor } from './guess.ts'

type Feeds = Record<string, Tensor>
type Fill = (values: unknown[]) => Tensor.DataTypeMap[keyof Tensor.DataTypeMap]

const numbers =
  (make: { from(values: number[]): unknown }): Fill =>
  values =>
    make.from(values as number[]) as ReturnType<Fill>

const FORMS: Record<Exclude<Datatype, 'BF16'>, { type: string; fill: Fill }> = {
  BOOL: { type: 'bool', fill: numbers(Uint8Array) },
  UINT8: { type: 'uint8', fill: numbers(Uint8Array) },
  UINT16: { type: 'uint16', fill: numbers(Uint16Array) },
  UINT32: { type: 'uint32', fill: numbers(Uint32Array) },
  UINT64: { type: 'uint64', fill: values => BigUint64Array.from(values as bigint[]) },
  INT8: { type: 'int8', fill: numbers(Int8Array) },
  INT16: { type: 'int16', fill: numbers(Int16Array) },
  INT32: { type: 'int32', fill: numbers(Int32Array) },
  INT64: { type: 'int64', fill: values => BigInt64Array.from(values as bigint[]) },
  FP16: { type: 'float16', fill: values => Uint16Array.from(values as number[], float16Bits) },
  FP32: { type: 'float32', fill: numbers(Float32Array) },
  FP64: { type: 'float64', fill: numbers(Float64Array) },
  BYTES: { type: 'string', fill: values => values as string[] },
}

/** One row: by input, its values with a batch axis of one. */
export type Row = { values: unknown[]; shape: number[] }[]

/** A row of guessed values, or null when the sizes ask for more than is reasonable to make up. */
export function makeRow(
  inspection: Inspection,
  signature: Signature,
  guess: { sizes: Sizes; style: Style; seed: number; elementsMax: number },
): Row | null {
  const random = seededRandom(guess.seed)
  const shared = seededRandom(1)
  const row: Row = []
  for (const [i, spec] of signature.inputs.entries()) {
    const shape = shapeFor(inspection.inputs[i]!, spec, guess.sizes, 1)
    const count = shape.reduce((a, b) => a * b, 1)
    if (count > guess.elementsMax) return null
    // What has no row axis must be equal for rows that are asked together.
    const source = spec.batch_axis === null ? shared : random
    row.push({ values: drawRow(spec, count, guess.style, source), shape })
  }
  return row
}

/** So many rows, the given ones over and over. */
export function repeat(rows: Row[], count: number): Row[] {
  return Array.from({ length: count }, (_, i) => rows[i % rows.length]!)
}

/** Joins rows into the feeds of one run. */
export function join(signature: Signature, rows: Row[]): Feeds {
  const feeds: Feeds = {}
  for (const [i, spec] of signature.inputs.entries()) {
    const first = rows[0]![i]!
    const form = FORMS[spec.datatype as keyof typeof FORMS]
    const axis = spec.batch_axis
    const values =
      axis === null
        ? first.values
        : interleave(
            rows.map(row => row[i]!.values),
            first.shape,
            axis,
          )
    const dims = first.shape.map((size, at) => (at === axis ? rows.length : size))
    feeds[spec.name] = new Tensor(form.type as 'float32', form.fill(values) as Float32Array, dims)
  }
  return feeds
}

function interleave(rows: unknown[][], shape: number[], axis: number): unknown[] {
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1)
  const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1)
  const all: unknown[] = []
  for (let o = 0; o < outer; o++) {
    for (const row of rows) for (let i = 0; i < inner; i++) all.push(row[o * inner + i])
  }
  return all
}
