/** Graphs whose answers are known by arithmetic on whole numbers; the first value of a row says whose it is. */
import { allocate, type Tensor, type TensorData } from '#core/inference/tensor.ts'
import type { Datatype, Signature, TensorSpec } from '#schemas/signature.ts'
import { crossTalk, failsOnNegative, identity, stateful, twoPerRow } from '#tests/models.ts'
import { type Ask, type Kind, named, type Row, type Subject } from './subject.ts'

/** Columns where the graph leaves no choice. */
export const WIDTH = 4
/** More than a request has rows. */
const ROWS_MAX = 64

const x: TensorSpec = { name: 'x', datatype: 'FP32', shape: [-1, WIDTH], batch_axis: 0 }
const y: TensorSpec = { ...x, name: 'y' }
const state: TensorSpec = { name: 'state', datatype: 'FP32', shape: [2, -1, WIDTH], batch_axis: 1 }
const gain: TensorSpec = { name: 'gain', datatype: 'FP32', shape: [], batch_axis: null }

export const CAN_FAIL = subjectOf('invariant', { inputs: [x], outputs: [y] }, ([input]) => [
  { ...input!, name: 'y' },
])
export const GRAPHS: { bytes: Uint8Array; subject: Subject }[] = [
  { bytes: failsOnNegative(), subject: CAN_FAIL },
  {
    bytes: stateful(),
    subject: subjectOf(
      'invariant',
      { inputs: [x, state, gain], outputs: [y, { ...state, name: 'state_out' }] },
      runningSum,
    ),
  },
  {
    bytes: crossTalk(),
    subject: subjectOf('unbatched', { inputs: [x], outputs: [y] }, ([input]) => [lessMean(input!)]),
  },
  {
    bytes: twoPerRow(),
    subject: subjectOf(
      'undeclared',
      { inputs: [x], outputs: [{ ...y, shape: [-1, 2] }] },
      ([input]) => [{ ...input!, name: 'y', shape: [input!.shape[0]! * 2, 2] }],
    ),
  },
  ...(['FP64', 'INT32', 'INT64', 'BYTES'] as const).map(datatype => {
    const open = { datatype, shape: [-1, -1], batch_axis: 0 }
    const io = { inputs: [{ ...open, name: 'INPUT0' }], outputs: [{ ...open, name: 'OUTPUT0' }] }
    return {
      bytes: identity(datatype),
      subject: subjectOf('shape_sensitive', io, ([input]) => [{ ...input!, name: 'OUTPUT0' }]),
    }
  }),
]

function subjectOf(
  kind: Kind,
  io: Pick<Signature, 'inputs' | 'outputs'>,
  answers: (inputs: readonly Tensor[]) => Tensor[],
): Subject {
  return {
    kind,
    signature: { ...io, batching: kind === 'undeclared' ? 'invariant' : kind },
    inputsOf: (ask, id) => io.inputs.map(spec => inputOf(spec, ask, id)),
    expected: (inputs, names) => names.map(name => named(answers(inputs), name)),
    whose: ([first]) => whose(first!),
  }
}

function inputOf({ name, datatype, shape: wanted, batch_axis }: TensorSpec, ask: Ask, id: number) {
  if (batch_axis === null) {
    return { name, datatype, shape: [], data: Float32Array.of(ask.k) }
  }
  const shape = wanted.map((dim, axis) =>
    axis === batch_axis ? ask.rows : dim === -1 ? ask.width : dim,
  )
  const width = shape.at(-1)!
  const count = shape.reduce((product, dim) => product * dim, 1)
  const data = filled(datatype, count, i => {
    const row = Math.floor(i / width)
    return i % width === 0 ? id * ROWS_MAX + row : (i * 7 + id) % 32
  })
  if (ask.fault) data[(ask.faultAt % ask.rows) * width + width - 1] = -1
  return { name, datatype, shape, data }
}

function whose({ shape, data }: Tensor): Row[] {
  const [rows, width] = shape as [number, number]
  return Array.from({ length: rows }, (_, r) => {
    const value = data[r * width]!
    const name = value instanceof Uint8Array ? Number(Buffer.from(value)) : Number(value)
    return { id: Math.floor(name / ROWS_MAX), row: name % ROWS_MAX }
  })
}

function filled(datatype: Datatype, count: number, valueAt: (i: number) => number): TensorData {
  const data = allocate(datatype, count)
  for (let i = 0; i < count; i++) {
    const value = valueAt(i)
    if (Array.isArray(data)) data[i] = Buffer.from(String(value))
    else if (data instanceof BigInt64Array) data[i] = BigInt(value)
    else data[i] = value
  }
  return data
}

/** y = x − the mean of its column. */
function lessMean({ shape, data }: Tensor): Tensor {
  const [rows, width] = shape as [number, number]
  const values = Array.from(data as Float32Array)
  const column = (c: number) => values.filter((_, i) => i % width === c)
  const means = Array.from({ length: width }, (_, c) => column(c).reduce((a, b) => a + b, 0) / rows)
  return {
    name: 'y',
    datatype: 'FP32',
    shape,
    data: Float32Array.from(values, (value, i) => value - means[i % width]!),
  }
}

/** state_out = state + x·gain in both of its layers, y = their sum. */
function runningSum(inputs: readonly Tensor[]): Tensor[] {
  const [xs, states, gains] = ['x', 'state', 'gain'].map(name => named(inputs, name).data) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ]
  const { length } = xs
  const after = states.map((value, i) => value + xs[i % length]! * gains[0]!)
  const sums = xs.map((_, i) => after[i]! + after[length + i]!)
  const { shape } = named(inputs, 'x')
  return [
    { name: 'y', datatype: 'FP32', shape, data: sums },
    { name: 'state_out', datatype: 'FP32', shape: [2, ...shape], data: after },
  ]
}
