/** Rows that may share a run: equal shapes, and equal values where an input has no row axis. */
import { invalid } from '#core/inference/invalid.ts'
import { allocate, bytesOf, elementCount, type TensorData } from '#core/inference/tensor.ts'
import type { Signature, TensorSpec } from '#schemas/signature.ts'
import { spares } from './buffers.ts'
import { fill, shapeOf } from './fill.ts'
import { ROW_BYTES_MAX } from './lines.ts'
import { columnOf, type OpenBatch, openBatch, product } from './open-batch.ts'
import { type PlainReader, plainReader } from './plain.ts'

export type Batches = {
  /** Bytes of all rows that wait in batches. */
  readonly bytes: number
  /** Adds a row to the batch that it fits; throws `invalid_input` when it does not fit the model. */
  add(values: readonly unknown[], row: number): OpenBatch
  /** Adds the row whose line starts there; null when the line is not plain, and is to be read as others are. */
  addPlain: AddPlain | null
  /** No row joins it any more. */
  take(batch: OpenBatch): void
  open(): OpenBatch[]
  /** Memory of a batch that has run: the next one lies in it. */
  giveBack(buffers: readonly ArrayBuffer[]): void
}
export type AddPlain = (
  bytes: Buffer,
  at: number,
  row: number,
) => { batch: OpenBatch; next: number; id: string | null } | null

export function batches(signature: Signature): Batches {
  const stacked = signature.inputs.every(input => input.batch_axis === null)
  const columns = signature.inputs.map(spec => columnOf(spec, stacked))
  const open = new Map<string, ReturnType<typeof openBatch>>()
  const plain = plainReader(signature)
  const memory = spares()
  let bytes = 0
  /** Rows of the batch before: the next one will have about as many. */
  let rowsUsual = 0

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
    return open.get(key) ?? openNew(key, shapes, shared)
  }

  function openNew(key: string, shapes: number[][], shared: TensorData[]) {
    const batch = openBatch({ key, columns, shapes, shared, stacked, rowsUsual, memory })
    open.set(key, batch)
    return batch
  }

  /** Of a model with a plain form: one batch takes all rows, for their shapes are the signature's. */
  function addPlain(reader: PlainReader): AddPlain {
    const shapes = columns.map(column => column.spec.shape)
    return (lines, at, row) => {
      const batch = open.get('') ?? openNew('', shapes, [])
      const next = reader.read(lines, at, batch.columns(), batch.rows.length)
      if (next < 0) return null
      bytes += batch.added(row)
      return { batch, next, id: reader.id }
    }
  }

  return {
    addPlain: plain && addPlain(plain),
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
      rowsUsual = batch.rows.length
    },
    open: () => [...open.values()].filter(batch => batch.rows.length > 0),
    giveBack: memory.giveBack,
  }
}

function sharedValue(spec: TensorSpec, shape: number[], value: unknown): TensorData {
  const count = product(shape)
  const data = allocate(spec.datatype, count)
  fill(spec, shape, count, value, data, 0)
  return data
}

function textOf(data: TensorData): string {
  const parts = Array.isArray(data) ? data : [bytesOf(data)]
  let text = ''
  for (const part of parts) text += `${part.length}:${Buffer.from(part).toString('latin1')};`
  return text
}

/** A value takes two bytes of its line at least: sizes that promise more are of unequal arrays. */
const VALUES_MAX = ROW_BYTES_MAX / 2

function ragged(spec: TensorSpec, shape: number[]): never {
  invalid(
    `Input "${spec.name}": its first arrays promise shape [${shape}], which the row cannot hold.`,
  )
}
