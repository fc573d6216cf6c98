/**
 * Builds ONNX graphs in code: for examples, tests and, later, training graphs. Same calls, same bytes.
 * It writes what it is told and checks nothing, so that it can build broken models too.
 */
import type { Datatype } from '#schemas/signature.ts'
import {
  ATTRIBUTE,
  ATTRIBUTE_TYPE,
  DIM,
  ENTRY,
  elementTypeOf,
  FUNCTION,
  GRAPH,
  MODEL,
  NODE,
  OPSET,
  SHAPE,
  TENSOR,
  TENSOR_TYPE,
  TYPE,
  VALUE_INFO,
} from './proto.ts'
import { rawBytes, type Values } from './raw.ts'
import { WireWriter } from './wire.ts'

/** A size, a name that ties equal sizes together, or null for any size. */
export type Dim = number | string | null

export type Tensor = {
  name?: string
  datatype: Datatype
  dims: number[]
  /** Little-endian elements; strings stand in `strings`. */
  raw?: Uint8Array
  strings?: string[]
  /** Written as external data instead: location, offset, length as given. */
  external?: Record<string, string>
}

export type Attribute =
  | { int: number | bigint }
  | { ints: (number | bigint)[] }
  | { float: number }
  | { floats: number[] }
  | { string: string }
  | { strings: string[] }
  | { tensor: Tensor }
  | { graph: Graph }
export type Attributes = Record<string, Attribute>

type Node = {
  op: string
  inputs: string[]
  outputs: string[]
  name: string
  domain: string
  attributes: Attributes
}
type Value = { name: string; type: WireWriter }

/** A tensor of these values in row-major order. */
export function tensor(datatype: Datatype, dims: number[], values: Values): Tensor {
  if (datatype === 'BYTES') return { datatype, dims, strings: [...values].map(String) }
  return { datatype, dims, raw: rawBytes(datatype, values) }
}

export class Graph {
  readonly name: string
  readonly nodes: Node[] = []
  readonly #initializers: Tensor[] = []
  readonly #inputs: Value[] = []
  readonly #outputs: Value[] = []

  constructor(name: string) {
    this.name = name
  }

  input(name: string, datatype: Datatype, dims: Dim[] | null): string {
    this.#inputs.push({ name, type: tensorType(elementTypeOf(datatype), dims) })
    return name
  }

  output(name: string, datatype: Datatype, dims: Dim[] | null): void {
    this.#outputs.push({ name, type: tensorType(elementTypeOf(datatype), dims) })
  }

  /** An input of any type whose `TypeProto` the caller wrote. */
  rawInput(name: string, type: WireWriter): string {
    this.#inputs.push({ name, type })
    return name
  }

  /** A trained or fixed tensor; returns its name. */
  initializer(name: string, value: Tensor): string {
    this.#initializers.push({ ...value, name })
    return name
  }

  /** A node; returns the name of its first output, which is made up when none is given. */
  node(
    op: string,
    inputs: string[],
    attributes: Attributes = {},
    options: { outputs?: string[]; name?: string; domain?: string } = {},
  ): string {
    const name = options.name ?? `${op}_${this.nodes.length}`
    const outputs = options.outputs ?? [`${name}_out`]
    this.nodes.push({ op, inputs, outputs, name, domain: options.domain ?? '', attributes })
    return outputs[0]!
  }

  write(): WireWriter {
    const out = new WireWriter()
    for (const node of this.nodes) out.message(GRAPH.node, writeNode(node))
    out.text(GRAPH.name, this.name)
    for (const value of this.#initializers) out.message(GRAPH.initializer, writeTensor(value))
    for (const value of this.#inputs) out.message(GRAPH.input, writeValue(value))
    for (const value of this.#outputs) out.message(GRAPH.output, writeValue(value))
    return out
  }
}

export type ModelOptions = {
  irVersion?: number
  opsets?: Record<string, number>
  functions?: LocalFunction[]
  producer?: string
}
/** A function local to the model: the nodes of a graph under an operator's name. */
export type LocalFunction = {
  domain: string
  name: string
  inputs: string[]
  outputs: string[]
  body: Graph
  opsets?: Record<string, number>
}

const IR_VERSION = 8
const OPSET_VERSION = 17

/** The bytes of a `.onnx` file. Defaults: opset 17, IR version 8, which every current runtime takes. */
export function model(graph: Graph, options: ModelOptions = {}): Uint8Array {
  const out = new WireWriter()
  out.varint(MODEL.irVersion, options.irVersion ?? IR_VERSION)
  out.text(MODEL.producerName, options.producer ?? 'galley')
  out.message(MODEL.graph, graph.write())
  writeOpsets(out, MODEL.opsetImport, options.opsets)
  for (const local of options.functions ?? []) out.message(MODEL.functions, writeFunction(local))
  return out.finish()
}

/** The `TypeProto` of a tensor. */
export function tensorType(elementType: number, dims: Dim[] | null): WireWriter {
  const type = new WireWriter().varint(TENSOR_TYPE.elemType, elementType)
  if (dims) {
    const shape = new WireWriter()
    for (const dim of dims) shape.message(SHAPE.dim, writeDim(dim))
    type.message(TENSOR_TYPE.shape, shape)
  }
  return new WireWriter().message(TYPE.tensor, type)
}

function writeDim(dim: Dim): WireWriter {
  const out = new WireWriter()
  if (typeof dim === 'number') out.varint(DIM.value, dim)
  if (typeof dim === 'string') out.text(DIM.param, dim)
  return out
}

function writeValue(value: Value): WireWriter {
  return new WireWriter().text(VALUE_INFO.name, value.name).message(VALUE_INFO.type, value.type)
}

function writeNode(node: Node): WireWriter {
  const out = new WireWriter()
  for (const name of node.inputs) out.text(NODE.input, name)
  for (const name of node.outputs) out.text(NODE.output, name)
  out.text(NODE.name, node.name).text(NODE.opType, node.op)
  for (const [name, value] of Object.entries(node.attributes)) {
    out.message(NODE.attribute, writeAttribute(name, value))
  }
  if (node.domain) out.text(NODE.domain, node.domain)
  return out
}

function writeAttribute(name: string, value: Attribute): WireWriter {
  const out = new WireWriter().text(ATTRIBUTE.name, name)
  const kind = Object.keys(value)[0] as keyof typeof ATTRIBUTE_TYPE
  if ('int' in value) out.varint(ATTRIBUTE.int, value.int)
  if ('float' in value) out.float(ATTRIBUTE.float, value.float)
  if ('string' in value) out.text(ATTRIBUTE.string, value.string)
  if ('ints' in value) for (const int of value.ints) out.varint(ATTRIBUTE.ints, int)
  if ('strings' in value) for (const text of value.strings) out.text(ATTRIBUTE.strings, text)
  if ('floats' in value) for (const float of value.floats) out.float(ATTRIBUTE.floats, float)
  if ('tensor' in value) out.message(ATTRIBUTE.tensor, writeTensor(value.tensor))
  if ('graph' in value) out.message(ATTRIBUTE.graph, value.graph.write())
  return out.varint(ATTRIBUTE.type, ATTRIBUTE_TYPE[kind])
}

function writeTensor(value: Tensor): WireWriter {
  const out = new WireWriter()
  for (const dim of value.dims) out.varint(TENSOR.dims, dim)
  out.varint(TENSOR.dataType, elementTypeOf(value.datatype))
  for (const text of value.strings ?? []) out.text(TENSOR.stringData, text)
  if (value.name) out.text(TENSOR.name, value.name)
  if (value.raw) out.bytes(TENSOR.rawData, value.raw)
  if (value.external) {
    for (const [key, text] of Object.entries(value.external)) {
      out.message(
        TENSOR.externalData,
        new WireWriter().text(ENTRY.key, key).text(ENTRY.value, text),
      )
    }
    out.varint(TENSOR.dataLocation, 1)
  }
  return out
}

function writeFunction(local: LocalFunction): WireWriter {
  const out = new WireWriter().text(FUNCTION.name, local.name)
  for (const name of local.inputs) out.text(FUNCTION.input, name)
  for (const name of local.outputs) out.text(FUNCTION.output, name)
  for (const node of local.body.nodes) out.message(FUNCTION.node, writeNode(node))
  writeOpsets(out, FUNCTION.opsetImport, local.opsets)
  return out.text(FUNCTION.domain, local.domain)
}

function writeOpsets(out: WireWriter, field: number, opsets?: Record<string, number>): void {
  for (const [domain, version] of Object.entries(opsets ?? { '': OPSET_VERSION })) {
    const opset = new WireWriter()
    if (domain) opset.text(OPSET.domain, domain)
    out.message(field, opset.varint(OPSET.version, version))
  }
}
