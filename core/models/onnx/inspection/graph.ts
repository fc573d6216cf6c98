/** Walks the nodes and tensors of a graph, its subgraphs and its functions, and counts. */

import { ATTRIBUTE, FUNCTION, GRAPH, NODE, SPARSE } from '../proto.ts'
import { type Field, invalid, type Span, type WireReader } from '../wire.ts'
import { capital, checkComputed, describe, type NodeFacts, Scope } from './computed.ts'
import type { InspectionLimits } from './limits.ts'
import { OPSET_VERSION_MAX } from './opsets.ts'
import { quote, shapeText } from './quote.ts'
import { product, readTensor, type TensorFacts } from './tensor.ts'

/** Nodes of a graph or function body, and how often it calls which function of the model. */
export type Body = { nodes: number; calls: Map<string, number> }

export type Walk = {
  reader: WireReader
  limits: InspectionLimits
  bundled: Map<string, number>
  /** Functions that the model brings along, by `domain::name::overload`. */
  functions: Map<string, Span>
  nodes: number
  parameters: bigint
  parameterBytes: bigint
  external: Set<string>
  operators: Map<string, number>
}
type Place = { body: Body; scope: Scope; depth: number }
type Attribute = { name: string; tensors: TensorFacts[]; ints: bigint[] }

export function functionKey(domain: string, name: string, overload: string): string {
  return `${domain === 'ai.onnx' ? '' : domain}::${name}::${overload}`
}

/** Walks one graph; gives the names of its initializers. */
export function walkGraph(walk: Walk, span: Span, place: Place): Set<string> {
  if (place.depth > walk.limits.depthMax) {
    throw invalid(
      `The graph is nested too deeply: more than ${Math.floor(walk.limits.depthMax / 3)} subgraphs stand within one another.`,
    )
  }
  const names = new Set<string>()
  const inner = { ...place, scope: new Scope(place.depth === 1 ? null : place.scope) }
  const nodes: NodeFacts[] = []
  for (const field of walk.reader.fields(span)) {
    if (field.number === GRAPH.node) nodes.push(walkNode(walk, field, inner))
    if (field.number === GRAPH.initializer) {
      const facts = countTensor(walk, walk.reader.message(field), '')
      if (facts.integers) inner.scope.set(facts.name, facts.integers)
      names.add(facts.name)
    }
    if (field.number === GRAPH.sparseInitializer) names.add(walkSparse(walk, field))
  }
  // Initializers follow the nodes in the file, so sizes are checked when both are known.
  for (const node of nodes) checkComputed(node, inner.scope, walk.limits.elementsMax)
  return names
}

export function walkFunction(walk: Walk, span: Span): Body {
  const body: Body = { nodes: 0, calls: new Map() }
  const place = { body, scope: new Scope(null), depth: 2 }
  const nodes: NodeFacts[] = []
  for (const field of walk.reader.fields(span)) {
    if (field.number === FUNCTION.node) nodes.push(walkNode(walk, field, place))
    if (field.number === FUNCTION.attributeProto) walkAttribute(walk, field, place, 'a function')
  }
  for (const node of nodes) checkComputed(node, place.scope, walk.limits.elementsMax)
  return body
}

function walkNode(walk: Walk, field: Field, place: Place): NodeFacts {
  if (++walk.nodes > walk.limits.nodesMax) {
    throw invalid(`The graph has more than ${walk.limits.nodesMax} nodes; no more are taken.`)
  }
  place.body.nodes++
  const span = walk.reader.message(field)
  const node = readNode(walk.reader, span)
  const key = functionKey(node.domain, node.op, node.overload)
  if (walk.functions.has(key)) place.body.calls.set(key, (place.body.calls.get(key) ?? 0) + 1)
  else checkDomain(node)
  const operator = node.domain ? `${node.domain}::${node.op}` : node.op
  walk.operators.set(operator, (walk.operators.get(operator) ?? 0) + 1)
  for (const inner of walk.reader.fields(span)) {
    if (inner.number !== NODE.attribute) continue
    const attribute = walkAttribute(walk, inner, place, describe(node))
    node.ints.set(attribute.name, attribute.ints)
    const integers = attribute.ints.length > 0 ? attribute.ints : attribute.tensors[0]?.integers
    if (node.op === 'Constant' && node.outputs[0] && integers)
      place.scope.set(node.outputs[0], integers)
  }
  return node
}

function readNode(reader: WireReader, span: Span): NodeFacts {
  const node: NodeFacts = {
    op: '',
    domain: '',
    overload: '',
    name: '',
    inputs: [],
    outputs: [],
    ints: new Map(),
  }
  for (const field of reader.fields(span)) {
    if (field.number === NODE.opType) node.op = reader.text(field)
    if (field.number === NODE.domain) node.domain = reader.text(field)
    if (field.number === NODE.overload) node.overload = reader.text(field)
    if (field.number === NODE.name) node.name = reader.text(field)
    if (field.number === NODE.input) node.inputs.push(reader.text(field))
    if (field.number === NODE.output) node.outputs.push(reader.text(field))
  }
  if (!node.op) throw invalid(`${capital(describe(node))} has no operator.`)
  return node
}

function checkDomain(node: NodeFacts): void {
  if (Object.hasOwn(OPSET_VERSION_MAX, node.domain)) return
  throw invalid(
    `${capital(describe(node))} is a custom operator of the domain ${quote(node.domain)}, which cannot be loaded here. ` +
      'Use standard ONNX operators (ai.onnx, ai.onnx.ml, com.microsoft) or define it as a function of the model.',
  )
}

function walkAttribute(walk: Walk, field: Field, place: Place, what: string): Attribute {
  const { reader } = walk
  const attribute: Attribute = { name: '', tensors: [], ints: [] }
  let single = 0
  for (const part of reader.fields(reader.message(field))) {
    // Parsers merge a message that is given twice; nothing writes that but an attack.
    if (part.number === ATTRIBUTE.tensor || part.number === ATTRIBUTE.graph) {
      if (single++ > 0) throw invalid(`${capital(what)} has an attribute with two values.`)
    }
    switch (part.number) {
      case ATTRIBUTE.name:
        attribute.name = reader.text(part)
        break
      case ATTRIBUTE.ints:
      case ATTRIBUTE.int:
        for (const value of reader.integers(part)) attribute.ints.push(value)
        break
      case ATTRIBUTE.tensor:
      case ATTRIBUTE.tensors:
        attribute.tensors.push(countTensor(walk, reader.message(part), `A tensor in ${what}`))
        break
      case ATTRIBUTE.graph:
      case ATTRIBUTE.graphs:
        walkGraph(walk, reader.message(part), { ...place, depth: place.depth + 3 })
        break
      case ATTRIBUTE.sparseTensor:
      case ATTRIBUTE.sparseTensors:
        walkSparse(walk, part)
    }
  }
  return attribute
}

function countTensor(walk: Walk, span: Span, where: string): TensorFacts {
  const facts = readTensor(walk.reader, span, where, walk.bundled)
  walk.parameters += facts.elements
  walk.parameterBytes += facts.bytes
  if (facts.external !== null) walk.external.add(facts.external)
  return facts
}

function walkSparse(walk: Walk, field: Field): string {
  let name = ''
  const dims: bigint[] = []
  for (const part of walk.reader.fields(walk.reader.message(field))) {
    if (part.number === SPARSE.dims) dims.push(...walk.reader.integers(part))
    if (part.number !== SPARSE.values && part.number !== SPARSE.indices) continue
    const facts = countTensor(walk, walk.reader.message(part), 'A part of a sparse tensor')
    if (part.number === SPARSE.values) name = facts.name
  }
  const what = `Sparse tensor ${quote(name)}`
  // The runtime expands it.
  if (product(dims, what) > BigInt(walk.limits.elementsMax)) {
    throw invalid(
      `${what} has the shape ${shapeText(dims)}; at most ${walk.limits.elementsMax} elements are taken.`,
    )
  }
  return name
}
