/**
 * Tensors that a graph makes out of a few numbers: ConstantOfShape with the shape [1000000, 1000000] is
 * 40 bytes in the file and terabytes in memory. Where the numbers are constants, the size is known
 * before anything runs; where they are not, the limits of the trial run hold.
 */

import { invalid } from '../wire.ts'
import { quote, shapeText } from './quote.ts'
import { product } from './tensor.ts'

/** The constants that a node can see: those of its graph and of the graphs around it. */
export class Scope {
  readonly #constants = new Map<string, bigint[]>()
  readonly #outer: Scope | null

  constructor(outer: Scope | null) {
    this.#outer = outer
  }

  set(name: string, values: bigint[]): void {
    this.#constants.set(name, values)
  }

  get(name: string | undefined): bigint[] | null {
    if (!name) return null
    return this.#constants.get(name) ?? this.#outer?.get(name) ?? null
  }
}

export type NodeFacts = {
  op: string
  domain: string
  overload: string
  name: string
  inputs: string[]
  outputs: string[]
  /** INTS attributes, of which `shape` and `value_ints` matter. */
  ints: Map<string, bigint[]>
}

/** Which input of an operator says how large its output is. */
const SHAPE_INPUT: Record<string, number> = { ConstantOfShape: 0, Expand: 1, Tile: 1 }
const SHAPE_ATTRIBUTE = new Set(['RandomNormal', 'RandomUniform'])

/** Throws when the node's constants ask for more elements than `elementsMax`. */
export function checkComputed(node: NodeFacts, scope: Scope, elementsMax: number): void {
  const shape = statedShape(node, scope)
  if (!shape) return
  const what = describe(node)
  // A dimension of -1 or the like is the runtime's to refuse.
  if (shape.some(dim => dim < 0n)) return
  if (product(shape, what) > BigInt(elementsMax)) {
    throw invalid(
      `${capital(what)} makes a tensor of shape ${shapeText(shape)}; at most ${elementsMax} elements are taken.`,
    )
  }
}

function statedShape(node: NodeFacts, scope: Scope): bigint[] | null {
  if (node.domain !== '' && node.domain !== 'ai.onnx') return null
  if (SHAPE_ATTRIBUTE.has(node.op)) return node.ints.get('shape') ?? null
  if (node.op === 'OneHot') return scope.get(node.inputs[1])
  if (node.op === 'Range') return rangeLength(node.inputs.map(name => scope.get(name)?.[0]))
  const input = SHAPE_INPUT[node.op]
  return input === undefined ? null : scope.get(node.inputs[input])
}

function rangeLength([start, limit, step]: (bigint | undefined)[]): bigint[] | null {
  if (start === undefined || limit === undefined || !step) return null
  const length = (limit - start) / step
  return [length < 0n ? 0n : length]
}

/** A node in a sentence: by its name, or by what it makes when it has none. */
export function describe(node: Pick<NodeFacts, 'op' | 'name' | 'outputs'>): string {
  if (node.name) return `node ${quote(node.name)} (${quote(node.op)})`
  return `the ${quote(node.op)} node that makes ${quote(node.outputs[0] ?? '')}`
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
