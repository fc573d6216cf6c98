/**
 * Rows that may share a run: equal shapes, and equal values where an input has no row axis. Rows lie one
 * behind the other until the batch is closed; only then are those moved whose axis is not the first.
 */
import { invalid } from '#core/inference/invalid.ts'
import {
  allocate,
  bytesOf,
  ELEMENT_BYTES,
  elementCount,
  type Tensor,
  type TensorData,
} from '#core/inference/tensor.ts'
import type { Signature, TensorSpec } from '#schemas/signature.ts'
import { fill, shapeOf } from './fill.ts'
import { ROW_BYTES_MAX } from './lines.ts'

/** Rows as they go to the engine. */
export type Batch = {
  inputs: Tensor[]
  rows: number
  /** The model has no row axis: the rows lie behind each other and each runs by itself. */
  stacked: boolean
}

export type OpenBatch = {
  readonly key: string
  /** Which rows of the shard these are. */
  readonly rows: number[]
  readonly bytes: number
  close(): Batch
}

type Column = {
  /** The input with the shape of one row's part. */
  spec: TensorSpec
  axis: number | null
  /** Rows of this input lie in the batch; otherwise one value serves all. */
  perRow: boolean
  /** Elements of a row where the signature fixes them all. */
  fixed: number
}

export type Batches = {
  /** Bytes of all rows that wait in batches. */
  readonly bytes: number
  /** Adds a row to the batch that it fits; throws `invalid_input` when it does not fit the model. */
  add(values: readonly unknown[], row: number): OpenBatch
  /** No row joins it any more. */
  take(batch: OpenBatch): void
  open(): OpenBatch[]
}

export function batches(signature: Signature): Batches {
  const stacked = signature.inputs.every(input => input.batch_axis === null)
  const columns = signature.inputs.map(spec => columnOf(spec, stacked))
  const open = new Map<string, ReturnType<typeof openBatch>>()
  let bytes = 0

  function batchFor(values: readonly unknown[]) {
    const shapes: number[][] = []
    const shared: TensorData[] = []
    let key = ''
    for (let i = 0; i < columns.length; i++) {
      const { spec, perRow, fixed } = columns[i]!
      const shape = shapeOf(spec, values[i])
      if (fixed < 0) {
        if (!(elementCount(shape) <= VALUES_MAX)) ragged(spec, shape)
        key += `${shape};`
      }
      shapes.push(shape)
      if (perRow) continue
      shared[i] = sharedValue(spec, shape, values[i])
      key += textOf(shared[i]!)
    }
    let batch = open.get(key)
    if (!batch) {
      batch = openBatch(key, columns, shapes, shared, stacked)
      open.set(key, batch)
    }
    return batch
  }

  return {
    get bytes() {
      return bytes
    },
    add(values, row) {
      const batch = batchFor(values)
      const before = batch.bytes
      try {
        batch.add(values, row)
      } catch (error) {
        // A shape that only a refused row had is nobody's.
        if (batch.rows.length === 0) open.delete(batch.key)
        throw error
      }
      bytes += batch.bytes - before
      return batch
    },
    take(batch) {
      open.delete(batch.key)
      bytes -= batch.bytes
    },
    open: () => [...open.values()],
  }
}

function openBatch(
  key: string,
  columns: Column[],
  shapes: number[][],
  shared: TensorData[],
  stacked: boolean,
) {
  const counts = shapes.map(product)
  const rows: number[] = []
  let capacity = 0
  let data: TensorData[] = []
  let bytes = 0
  const rowBytes = columns.map(({ spec, perRow }, i) =>
    perRow ? ELEMENT_BYTES[spec.datatype] * counts[i]! : 0,
  )

  function grow(): void {
    capacity = capacity === 0 ? firstCapacity(rowBytes) : capacity * 2
    data = columns.map(({ spec, perRow }, i) => {
      if (!perRow) return shared[i]!
      const grown = allocate(spec.datatype, capacity * counts[i]!)
      if (data[i]) copy(grown, data[i]!)
      return grown
    })
  }

  return {
    key,
    rows,
    get bytes() {
      return bytes
    },
    add(values: readonly unknown[], row: number): void {
      if (rows.length === capacity) grow()
      let added = 0
      columns.forEach(({ spec, perRow }, i) => {
        if (!perRow) return
        const at = rows.length * counts[i]!
        fill(spec, shapes[i]!, counts[i]!, values[i], data[i]!, at)
        added += rowBytes[i]!
        // Texts have no size of their own beforehand.
        if (spec.datatype === 'BYTES') added += textBytes(data[i] as Uint8Array[], at, counts[i]!)
      })
      bytes += added
      rows.push(row)
    },
    close(): Batch {
      const inputs = columns.map(({ spec, axis, perRow }, i): Tensor => {
        const { name, datatype } = spec
        const shape = shapes[i]!
        if (!perRow) return { name, datatype, shape, data: data[i]! }
        const used = cut(data[i]!, rows.length * counts[i]!)
        if (axis === null) return { name, datatype, shape, data: used }
        const whole = shape.toSpliced(axis, 0, rows.length)
        return { name, datatype, shape: whole, data: moved(used, shape, axis, rows.length) }
      })
      return { inputs, rows: rows.length, stacked }
    },
  }
}

function columnOf(spec: TensorSpec, stacked: boolean): Column {
  const axis = spec.batch_axis
  const shape = axis === null ? spec.shape : spec.shape.toSpliced(axis, 1)
  return {
    spec: { ...spec, shape },
    axis,
    perRow: stacked || axis !== null,
    fixed: shape.includes(-1) ? -1 : product(shape),
  }
}

function sharedValue(spec: TensorSpec, shape: number[], value: unknown): TensorData {
  const count = product(shape)
  const data = allocate(spec.datatype, count)
  fill(spec, shape, count, value, data, 0)
  return data
}

/** From rows behind each other to rows on `axis`. */
function moved(data: TensorData, shape: number[], axis: number, rows: number): TensorData {
  const outer = product(shape.slice(0, axis))
  if (outer === 1 || rows === 1) return data
  const inner = product(shape.slice(axis))
  const target = data.slice() as TensorData
  for (let row = 0; row < rows; row++) {
    for (let o = 0; o < outer; o++) {
      const from = (row * outer + o) * inner
      const to = (o * rows + row) * inner
      for (let i = 0; i < inner; i++) target[to + i] = data[from + i]!
    }
  }
  return target
}

function copy(target: TensorData, source: TensorData): void {
  if (Array.isArray(target)) {
    ;(source as Uint8Array[]).forEach((element, i) => {
      target[i] = element
    })
  } else (target as Float64Array).set(source as Float64Array)
}

function cut(data: TensorData, count: number): TensorData {
  return Array.isArray(data) ? data.slice(0, count) : data.subarray(0, count)
}

function textOf(data: TensorData): string {
  const parts = Array.isArray(data) ? data : [bytesOf(data)]
  let text = ''
  for (const part of parts) text += `${part.length}:${Buffer.from(part).toString('latin1')};`
  return text
}

function textBytes(data: Uint8Array[], from: number, count: number): number {
  let bytes = 0
  for (let i = from; i < from + count; i++) bytes += data[i]!.length
  return bytes
}

function product(sizes: readonly number[]): number {
  let count = 1
  for (const size of sizes) count *= size
  return count
}

/** Small rows start with some room; of large ones there may never be a second. */
function firstCapacity(rowBytes: number[]): number {
  const bytes = rowBytes.reduce((sum, own) => sum + own, 1)
  return Math.max(1, Math.min(8, Math.floor(65_536 / bytes)))
}

/** A value takes two bytes of its line at least: sizes that promise more are of unequal arrays. */
const VALUES_MAX = ROW_BYTES_MAX / 2

function ragged(spec: TensorSpec, shape: number[]): never {
  invalid(
    `Input "${spec.name}": its first arrays promise shape [${shape}], which the row cannot hold.`,
  )
}
