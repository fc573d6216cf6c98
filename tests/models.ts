/** Small models made in code, each for one property that a test needs. */
import { type Dim, Graph, model, tensor, tensorType } from '#core/models/onnx/build.ts'
import { SHAPE, TENSOR_TYPE, TYPE } from '#core/models/onnx/proto.ts'
import { WireWriter } from '#core/models/onnx/wire.ts'
import type { Datatype } from '#schemas/signature.ts'

/** Triton's "simple": OUTPUT0 = INPUT0 + INPUT1, OUTPUT1 = INPUT0 - INPUT1, all INT32 [batch, 16]. */
export function addSub(): Uint8Array {
  const graph = new Graph('simple')
  for (const name of ['INPUT0', 'INPUT1']) graph.input(name, 'INT32', ['batch', 16])
  graph.node('Add', ['INPUT0', 'INPUT1'], {}, { outputs: ['OUTPUT0'] })
  graph.node('Sub', ['INPUT0', 'INPUT1'], {}, { outputs: ['OUTPUT1'] })
  for (const name of ['OUTPUT0', 'OUTPUT1']) graph.output(name, 'INT32', ['batch', 16])
  return model(graph)
}

/** OUTPUT0 = INPUT0 of one datatype and any shape [batch, n]. */
export function identity(datatype: Datatype, dims: Dim[] = ['batch', 'n']): Uint8Array {
  const graph = new Graph(`identity_${datatype}`)
  graph.input('INPUT0', datatype, dims)
  graph.node('Identity', ['INPUT0'], {}, { outputs: ['OUTPUT0'] })
  graph.output('OUTPUT0', datatype, dims)
  return model(graph)
}

/** Dense layers with ReLU between them; `sizes` from input to output, weights from the seed. */
export function mlp(seed: number, sizes: number[]): Uint8Array {
  const graph = new Graph('mlp')
  const random = uniform(seed)
  let last = graph.input('x', 'FP32', ['batch', sizes[0]!])
  for (let i = 1; i < sizes.length; i++) {
    const [from, to] = [sizes[i - 1]!, sizes[i]!]
    const scale = 1 / Math.sqrt(from)
    const weights = Array.from({ length: from * to }, () => (random() * 2 - 1) * scale)
    const bias = Array.from({ length: to }, () => random() * 2 - 1)
    graph.initializer(`w${i}`, tensor('FP32', [from, to], weights))
    graph.initializer(`b${i}`, tensor('FP32', [to], bias))
    const isLast = i === sizes.length - 1
    const names = isLast ? { outputs: ['y'] } : {}
    last = graph.node('Gemm', [last, `w${i}`, `b${i}`], {}, names)
    if (!isLast) last = graph.node('Relu', [last])
  }
  graph.output('y', 'FP32', ['batch', sizes.at(-1)!])
  return model(graph)
}

/** y = x minus the mean of its batch: rows influence each other. */
export function crossTalk(): Uint8Array {
  return unary(['batch', 4], ['batch', 4], graph => {
    const mean = graph.node('ReduceMean', ['x'], { axes: { ints: [0] }, keepdims: { int: 1 } })
    graph.node('Sub', ['x', mean], {}, { outputs: ['y'] })
  })
}

/** One number for the whole batch: its output has no row axis. */
export function batchSum(): Uint8Array {
  return unary(['batch', 4], [], graph => {
    graph.node('ReduceSum', ['x'], { keepdims: { int: 0 } }, { outputs: ['y'] })
  })
}

/** Two output rows for each input row. */
export function twoPerRow(): Uint8Array {
  return unary(['batch', 4], ['rows', 2], graph => {
    graph.initializer('shape', tensor('INT64', [2], [-1, 2]))
    graph.node('Reshape', ['x', 'shape'], {}, { outputs: ['y'] })
  })
}

/** Takes one row only, although its shape says that any number will do. */
export function oneRowOnly(): Uint8Array {
  return unary(['batch', 4], ['batch', 4], graph => {
    graph.initializer('shape', tensor('INT64', [2], [1, 4]))
    graph.node('Reshape', ['x', 'shape'], {}, { outputs: ['y'] })
  })
}

/** Declares an output of seven columns and gives four. */
export function misdeclared(): Uint8Array {
  return unary(['batch', 'n'], ['batch', 7], graph => {
    graph.node('Relu', ['x'], {}, { outputs: ['y'] })
  })
}

/** A running sum: its state batches on axis 1, its `gain` is a scalar for the whole request. */
export function stateful(): Uint8Array {
  const graph = new Graph('stateful')
  graph.input('x', 'FP32', ['batch', 4])
  graph.input('state', 'FP32', [2, 'batch', 4])
  graph.input('gain', 'FP32', [])
  const scaled = graph.node('Mul', ['x', 'gain'])
  graph.initializer('axis', tensor('INT64', [1], [0]))
  const step = graph.node('Unsqueeze', [scaled, 'axis'])
  graph.node('Add', ['state', step], {}, { outputs: ['state_out'] })
  graph.node('ReduceSum', ['state_out', 'axis'], { keepdims: { int: 0 } }, { outputs: ['y'] })
  graph.output('y', 'FP32', ['batch', 4])
  graph.output('state_out', 'FP32', [2, 'batch', 4])
  return model(graph)
}

/** y = |x| after so many turns of a loop: processor time without memory, about 5 µs a turn. */
export function slow(iterations: number): Uint8Array {
  return unary(['batch', 4], ['batch', 4], graph => {
    loop(graph, iterations, 'x', 'y')
  })
}

/** Fails at run time for every row that has a negative number. */
export function failsOnNegative(): Uint8Array {
  return unary(['batch', 4], ['batch', 4], graph => {
    graph.initializer('zero', tensor('FP32', [1], [0]))
    graph.initializer('table', tensor('FP32', [1], [0]))
    const isNegative = graph.node('Less', ['x', 'zero'])
    const ones = graph.node('Cast', [isNegative], { to: { int: 7 } })
    const index = graph.node('ReduceMax', [ones], { axes: { ints: [1] }, keepdims: { int: 1 } })
    const looked = graph.node('Gather', ['table', index], {}, { name: 'look_up' })
    graph.node('Add', ['x', looked], {}, { outputs: ['y'] })
  })
}

/** Asks for a tensor of `elements` FP32 at run time, which no reader of the file can foresee, and works on it. */
export function hungry(elements: number, iterations = 50): Uint8Array {
  return unary(['batch', 4], ['batch'], graph => {
    graph.initializer('factor', tensor('INT64', [2], [0, 0]))
    graph.initializer('size', tensor('INT64', [2], [1, elements]))
    const shape = graph.node('Shape', ['x'])
    const zero = graph.node('Mul', [shape, 'factor'])
    const wanted = graph.node('Add', [zero, 'size'])
    const large = graph.node('ConstantOfShape', [wanted], {}, { name: 'large' })
    const worked = loop(graph, iterations, large, 'worked')
    graph.initializer('axes', tensor('INT64', [1], [1]))
    const sum = graph.node('ReduceSum', [worked, 'axes'], { keepdims: { int: 0 } })
    const rows = graph.node('ReduceSum', ['x', 'axes'], { keepdims: { int: 0 } })
    graph.node('Add', [rows, sum], {}, { outputs: ['y'] })
  })
}

/** `If` within `If` within `If`. */
export function nested(depth: number): Uint8Array {
  return unary(['batch', 4], ['batch', 4], graph => {
    let inner = leaf()
    for (let level = 0; level < depth; level++) {
      const outer = new Graph(`level_${level}`)
      outer.initializer('yes', tensor('BOOL', [], [true]))
      const branches = { then_branch: { graph: inner }, else_branch: { graph: leaf() } }
      outer.output(outer.node('If', ['yes'], branches), 'FP32', null)
      inner = outer
    }
    graph.initializer('yes', tensor('BOOL', [], [true]))
    const branches = { then_branch: { graph: inner }, else_branch: { graph: leaf() } }
    graph.node('If', ['yes'], branches, { outputs: ['y'] })
  })
}

/** Functions that each call the next one twice: 2^depth nodes in a file of a few hundred bytes. */
export function functionBomb(depth: number): Uint8Array {
  const functions = Array.from({ length: depth }, (_, i) => {
    const body = new Graph(`f${i}`)
    const isLast = i === depth - 1
    const call = { domain: isLast ? '' : 'local' }
    const op = isLast ? 'Relu' : `f${i + 1}`
    const once = body.node(op, ['a'], {}, { ...call, outputs: ['once'] })
    body.node(op, [once], {}, { ...call, outputs: ['b'] })
    const opsets = { '': 17, local: 1 }
    return { domain: 'local', name: `f${i}`, inputs: ['a'], outputs: ['b'], body, opsets }
  })
  const graph = new Graph('bomb')
  graph.input('x', 'FP32', ['batch', 4])
  graph.node('f0', ['x'], {}, { domain: 'local', outputs: ['y'] })
  graph.output('y', 'FP32', ['batch', 4])
  return model(graph, { functions, opsets: { '': 17, local: 1 } })
}

/** y = x times a weight that stands in another file. */
export function externalWeight(external: Record<string, string>): Uint8Array {
  return unary(['batch', 2], ['batch', 2], graph => {
    graph.initializer('w', { datatype: 'FP32', dims: [2, 2], external })
    graph.node('MatMul', ['x', 'w'], {}, { outputs: ['y'] })
  })
}

/** An input that is a sequence of tensors. */
export function sequenceInput(): Uint8Array {
  const graph = new Graph('sequence')
  const element = tensorType(1, ['n'])
  graph.rawInput('x', new WireWriter().message(TYPE.sequence, new WireWriter().message(1, element)))
  graph.node('SequenceLength', ['x'], {}, { outputs: ['y'] })
  graph.output('y', 'INT64', [])
  return model(graph)
}

/** An input of an element type by its number in ONNX. */
export function elementTypeInput(type: number): Uint8Array {
  const graph = new Graph('typed')
  const shape = new WireWriter().message(SHAPE.dim, new WireWriter().varint(1, 4))
  const tensorPart = new WireWriter().varint(TENSOR_TYPE.elemType, type)
  graph.rawInput(
    'x',
    new WireWriter().message(TYPE.tensor, tensorPart.message(TENSOR_TYPE.shape, shape)),
  )
  graph.node('Cast', ['x'], { to: { int: 1 } }, { outputs: ['y'] })
  graph.output('y', 'FP32', [4])
  return model(graph)
}

/** A graph from x to y, both FP32. */
export function unary(input: Dim[], output: Dim[], build: (graph: Graph) => void): Uint8Array {
  const graph = new Graph('unary')
  graph.input('x', 'FP32', input)
  build(graph)
  graph.output('y', 'FP32', output)
  return model(graph)
}

function leaf(): Graph {
  const graph = new Graph('leaf')
  graph.output(graph.node('Identity', ['x']), 'FP32', null)
  return graph
}

function loop(graph: Graph, iterations: number, from: string, to: string): string {
  const body = new Graph('body')
  body.input('turn', 'INT64', [])
  body.input('go', 'BOOL', [])
  body.input('value', 'FP32', null)
  body.node('Identity', ['go'], {}, { outputs: ['go_on'] })
  body.node('Abs', [body.node('Neg', ['value'])], {}, { outputs: ['next'] })
  body.output('go_on', 'BOOL', [])
  body.output('next', 'FP32', null)
  graph.initializer('turns', tensor('INT64', [], [iterations]))
  graph.initializer('true', tensor('BOOL', [], [true]))
  const last = graph.node('Loop', ['turns', 'true', from], { body: { graph: body } })
  return graph.node('Identity', [last], {}, { outputs: [to] })
}

/** A seeded generator of numbers in [0, 1): the same weights for the same seed. */
export function uniform(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
