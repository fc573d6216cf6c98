/**
 * A model made in memory, with inputs of any datatype, a batch axis that is not the first, and an input
 * without rows. It computes row by row, with nothing of the code that joins and takes apart.
 */
import { allocate, type Tensor, type TensorData } from '#core/inference/tensor.ts'
import { DATATYPES, type Datatype, type Signature, type TensorSpec } from '#schemas/signature.ts'
import type { Random } from '../../chaos/random.ts'
import { type Ask, type Kind, named, type Subject } from './subject.ts'

const encoder = new TextEncoder()

export function makeSubject(random: Random, kind: Kind): Subject & { faultOf: typeof faultOf } {
  const datatype = random.pick(DATATYPES)
  const spec = (
    name: string,
    type: Datatype,
    shape: number[],
    axis: number | null,
  ): TensorSpec => ({
    name,
    datatype: type,
    shape,
    batch_axis: axis,
  })
  const inputs = [
    spec('x', datatype, [-1, -1], 0),
    spec('mark', 'FP64', [2, -1, 2], 1),
    spec('k', 'INT64', [], null),
  ]
  const outputs = [
    spec('y', datatype, [-1, -1], 0),
    spec('mark', 'FP64', [2, -1, 2], 1),
    spec('hash', 'INT32', [-1], 0),
    spec('text', 'BYTES', [-1], 0),
    spec('k', 'INT64', [], null),
  ]
  const batching = kind === 'undeclared' ? 'invariant' : kind
  const signature: Signature = { inputs: random.shuffled(inputs), outputs, batching }
  return {
    kind,
    signature,
    inputsOf: (ask, id) => {
      const made = inputsOf(ask, id, datatype, random)
      return signature.inputs.map(input => named(made, input.name))
    },
    expected: (given, names) => compute(kind, given, names),
    whose: given => {
      const { shape, data } = named(given, 'mark')
      const rows = shape[1]!
      return Array.from({ length: rows }, (_, r) => ({
        id: Number(data[r * 2]),
        row: Number(data[r * 2 + 1]),
      }))
    },
    faultOf,
  }
}

function inputsOf(ask: Ask, id: number, datatype: Datatype, random: Random): Tensor[] {
  const { rows, width } = ask
  const mark = new Float64Array(4 * rows)
  for (let r = 0; r < rows; r++) {
    mark[r * 2] = id
    mark[r * 2 + 1] = r
    mark[2 * rows + r * 2 + 1] = random.next()
  }
  if (ask.fault && rows > 0) mark[2 * rows + (ask.faultAt % rows) * 2] = ask.fault
  return [
    { name: 'x', datatype, shape: [rows, width], data: chance(datatype, rows * width, random) },
    { name: 'mark', datatype: 'FP64', shape: [2, rows, 2], data: mark },
    { name: 'k', datatype: 'INT64', shape: [], data: BigInt64Array.of(BigInt(ask.k)) },
  ]
}

function chance(datatype: Datatype, count: number, random: Random): TensorData {
  const data = allocate(datatype, count)
  for (let i = 0; i < count; i++) {
    if (Array.isArray(data))
      data[i] = encoder.encode('é'.repeat(random.int(0, 3)) + random.int(0, 9))
    else if (data instanceof BigInt64Array || data instanceof BigUint64Array)
      data[i] = BigInt(random.int(0, 2 ** 48))
    else data[i] = datatype === 'BOOL' ? random.int(0, 1) : random.int(-(2 ** 30), 2 ** 30)
  }
  return data
}

/** y: the row's values from behind (all of them twice if undeclared); hash: of the row, its width and k; text: the hash in words. */
export function compute(kind: Kind, inputs: readonly Tensor[], names: readonly string[]): Tensor[] {
  const [x, mark, k] = ['x', 'mark', 'k'].map(name => named(inputs, name)) as [
    Tensor,
    Tensor,
    Tensor,
  ]
  const [rows, width] = x.shape as [number, number]
  const y = allocate(x.datatype, rows * width)
  const times = kind === 'undeclared' ? 2 : 1
  const hashes = new Int32Array(rows)
  for (let r = 0; r < rows; r++) {
    let hash = Math.imul(width + 1, 16_777_619) ^ Number(k.data[0])
    for (let i = 0; i < width; i++) {
      const value = x.data[r * width + i]!
      y[r * width + (width - 1 - i)] = value
      for (const char of String(value)) hash = Math.imul(hash ^ char.charCodeAt(0), 16_777_619)
    }
    hashes[r] = hash
  }
  // Rows that influence each other: each carries the sum of all.
  if (kind === 'unbatched') {
    const sum = hashes.reduce((a, b) => (a + b) | 0, 0)
    for (let r = 0; r < rows; r++) hashes[r] = (hashes[r]! + sum) | 0
  }
  const all: Tensor[] = [
    {
      name: 'y',
      datatype: x.datatype,
      shape: [rows * times, width],
      data: times === 1 ? y : twice(y, x.datatype),
    },
    {
      name: 'mark',
      datatype: 'FP64',
      shape: [2, rows, 2],
      data: (mark.data as Float64Array).slice(),
    },
    { name: 'hash', datatype: 'INT32', shape: [rows], data: hashes },
    {
      name: 'text',
      datatype: 'BYTES',
      shape: [rows],
      data: Array.from(hashes, hash => encoder.encode(`row ${hash}`)),
    },
    { name: 'k', datatype: 'INT64', shape: [], data: k.data },
  ]
  return names.map(name => named(all, name))
}

function twice(values: TensorData, datatype: Datatype): TensorData {
  const data = allocate(datatype, values.length * 2)
  for (let i = 0; i < data.length; i++) data[i] = values[i % values.length]!
  return data
}

/** The worst fault of a run's rows. */
function faultOf(inputs: readonly Tensor[]): number {
  const { shape, data } = named(inputs, 'mark')
  const rows = shape[1]!
  let worst = 0
  for (let r = 0; r < rows; r++) worst = Math.max(worst, Number(data[2 * rows + r * 2]))
  return worst
}
