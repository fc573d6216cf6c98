/**
 * Pooling and normalisation as nodes behind a graph. A protobuf that is followed by another one of its
 * type reads as both merged, so the bytes made here are appended to the file as it is: nothing of it is
 * read or written anew. Only operators are used that have not changed since opset 12.
 */
import { Graph, tensor } from './build.ts'
import { MODEL } from './proto.ts'
import { WireWriter } from './wire.ts'

/** Of GatherND with batch_dims, for the pooling `last`. */
export const POOLING_OPSET_MIN = 12

const FLOAT = 1
const INT64 = 7

export type Pooling = 'mean' | 'cls' | 'last' | 'none'
export type PoolingNodes = {
  /** [rows, tokens, width]; of `none` [rows, width]. */
  hidden: string
  pooling: Pooling
  /** To the length 1. */
  normalize: boolean
  /** FP32 [rows, width]. */
  output: string
}

/** Bytes to append to a model's file. Its own inputs and outputs stay as they are. */
export function poolingNodes({ hidden, pooling, normalize, output }: PoolingNodes): Uint8Array {
  const graph = new Graph('galley')
  let made = 0
  const node: Graph['node'] = (op, inputs, attributes, options) => {
    const name = `galley.${made++}`
    return graph.node(op, inputs, attributes, { name, ...options })
  }
  const constant = (name: string, values: number[]) =>
    graph.initializer(`galley.${name}`, tensor('INT64', [values.length], values))
  const floats = node('Cast', [hidden], { to: { int: FLOAT } })
  const asRow = constant('row', [0, 1, -1])
  const asColumn = constant('column', [0, -1, 1])

  function mask() {
    const values = node('Cast', ['attention_mask'], { to: { int: FLOAT } })
    const row = node('Reshape', [values, asRow])
    // Of zeros and ones, the sum of the squares is the number of ones.
    return { row, count: node('MatMul', [row, node('Reshape', [values, asColumn])]) }
  }
  function least(name: string, of: string, value: number): string {
    const bound = graph.initializer(`galley.${name}`, tensor('FP32', [], [value]))
    return node('Max', [of, bound])
  }
  const pooled: Record<Pooling, () => string> = {
    none: () => node('Reshape', [floats, asRow]),
    cls: () => node('Gather', [floats, constant('first', [0])], { axis: { int: 1 } }),
    mean() {
      const { row, count } = mask()
      return node('Div', [node('MatMul', [row, floats]), least('one', count, 1)])
    },
    last() {
      const { count } = mask()
      const one = graph.initializer('galley.step', tensor('FP32', [], [1]))
      const place = node('Cast', [node('Sub', [count, one])], { to: { int: INT64 } })
      const index = node('Reshape', [place, constant('index', [0, 1])])
      const last = node('GatherND', [floats, index], { batch_dims: { int: 1 } })
      return node('Reshape', [last, asRow])
    },
  }
  let vector = pooled[pooling]()
  if (normalize) {
    const square = node('MatMul', [vector, node('Reshape', [vector, asColumn])])
    vector = node('Div', [vector, least('tiny', node('Sqrt', [square]), 1e-12)])
  }
  node('Reshape', [vector, constant('flat', [0, -1])], {}, { outputs: [output] })
  graph.output(output, 'FP32', ['galley.rows', 'galley.width'])
  return new WireWriter().message(MODEL.graph, graph.write()).finish()
}
