/**
 * A batch that rows are added to. They lie one behind the other until it is closed; only then are those
 * moved whose axis is not the first.
 */
import { ELEMENT_BYTES, type Tensor, type TensorData } from '#core/inference/tensor.ts'
import type { TensorSpec } from '#schemas/signature.ts'
import type { spares } from './buffers.ts'
import { fill } from './fill.ts'

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

type Opened = {
  key: string
  columns: Column[]
  shapes: number[][]
  shared: TensorData[]
  stacked: boolean
  rowsUsual: number
  memory: ReturnType<typeof spares>
}

export function openBatch({ key, columns, shapes, shared, stacked, rowsUsual, memory }: Opened) {
  const counts = shapes.map(product)
  const rows: number[] = []
  let capacity = 0
  let data: TensorData[] = []
  let bytes = 0
  const rowBytes = columns.map(({ spec, perRow }, i) =>
    perRow ? ELEMENT_BYTES[spec.datatype] * counts[i]! : 0,
  )
  const bytesOfRow = rowBytes.reduce((sum, own) => sum + own, 0)

  function grow(): void {
    capacity = capacity === 0 ? firstCapacity(bytesOfRow, rowsUsual) : capacity * 2
    data = columns.map(({ spec, perRow }, i) => {
      if (!perRow) return shared[i]!
      const grown = memory.take(spec.datatype, capacity * counts[i]!)
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
    /** With room for one row more. */
    columns(): readonly TensorData[] {
      if (rows.length === capacity) grow()
      return data
    },
    /** A row of numbers lies in the columns now; its bytes. */
    added(row: number): number {
      bytes += bytesOfRow
      rows.push(row)
      return bytesOfRow
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

export function columnOf(spec: TensorSpec, stacked: boolean): Column {
  const axis = spec.batch_axis
  const shape = axis === null ? spec.shape : spec.shape.toSpliced(axis, 1)
  return {
    spec: { ...spec, shape },
    axis,
    perRow: stacked || axis !== null,
    fixed: shape.includes(-1) ? -1 : product(shape),
  }
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

function textBytes(data: Uint8Array[], from: number, count: number): number {
  let bytes = 0
  for (let i = from; i < from + count; i++) bytes += data[i]!.length
  return bytes
}

export function product(sizes: readonly number[]): number {
  let count = 1
  for (const size of sizes) count *= size
  return count
}

/** As many rows as the last batch had. Otherwise small rows start with some room; of large ones there may be no second. */
function firstCapacity(bytesOfRow: number, rowsUsual: number): number {
  if (rowsUsual > 0 && rowsUsual * bytesOfRow <= FIRST_BYTES_MAX) return rowsUsual
  return Math.max(1, Math.min(8, Math.floor(65_536 / (bytesOfRow + 1))))
}
const FIRST_BYTES_MAX = 4 * 2 ** 20
