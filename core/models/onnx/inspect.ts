/**
 * Reads what a model file declares, and refuses what could not or must not be loaded, before the
 * runtime sees a byte of it. Weights are measured and stepped over, never read.
 */
import { AppError } from '#core/error.ts'
import { Scope } from './inspection/computed.ts'
import type { BundledFile } from './inspection/external.ts'
import { expandedNodes } from './inspection/functions.ts'
import { type Body, functionKey, type Walk, walkFunction, walkGraph } from './inspection/graph.ts'
import { INSPECTION_LIMITS, type InspectionLimits } from './inspection/limits.ts'
import { isSavedModel, lookalike } from './inspection/lookalike.ts'
import { IR_VERSION_MAX, OPSET_VERSION_MAX } from './inspection/opsets.ts'
import { quote } from './inspection/quote.ts'
import { type GraphValue, readValue, valueName } from './inspection/value.ts'
import { FUNCTION, GRAPH, MODEL, OPSET } from './proto.ts'
import { type Field, invalid, type Source, type Span, WireReader } from './wire.ts'

export type { BundledFile, GraphValue, InspectionLimits }
export type Inspection = {
  irVersion: number
  producer: string
  /** Version of each operator set, by domain; '' is ONNX's own. */
  opsets: Record<string, number>
  inputs: GraphValue[]
  outputs: GraphValue[]
  /** All nodes, those of subgraphs and functions too. */
  nodes: number
  /** How often each operator stands in the file. */
  operators: Record<string, number>
  /** Elements and bytes of all tensors that the model carries. */
  parameters: number
  parameterBytes: number
  /** Paths of external data, relative to the graph. */
  externalFiles: string[]
}
type Model = {
  irVersion: number
  producer: string
  producerVersion: string
  graph: Span | null
  opsets: Record<string, number>
  functions: Span[]
}

/**
 * Inspects a graph file. `bundledFiles` are the other files of the manifest, by path relative to the
 * graph's folder. Throws `invalid_model` with a sentence that names what is wrong.
 */
export function inspect(
  source: Source,
  limits: InspectionLimits = INSPECTION_LIMITS,
  bundledFiles: BundledFile[] = [],
): Inspection {
  if (source.size === 0) throw invalid('The file is empty.')
  const other = lookalike(source.read)
  if (other)
    throw invalid(`The file is not an ONNX model; it looks like ${other.replace(/\.$/, '')}.`)
  if (source.size > limits.graphBytesMax) {
    throw invalid(
      `The graph file is ${source.size} bytes long; at most ${limits.graphBytesMax} are taken. Save the weights as external data.`,
    )
  }
  const reader = new WireReader(source, limits.fieldsMax)
  const model = readModel(reader, { start: 0, end: source.size })
  if (!model.graph) throw invalid(withoutGraph(model))
  checkVersions(model)
  return walkModel(reader, model, model.graph, limits, bundledFiles)
}

function withoutGraph(model: Model): string {
  if (isSavedModel(model.producer)) {
    return 'The file is not an ONNX model; it looks like a TensorFlow SavedModel. Export the model to ONNX first.'
  }
  return 'The file holds no graph: it is not an ONNX model, or it is truncated before its graph.'
}

function readModel(reader: WireReader, span: Span): Model {
  const model: Model = {
    irVersion: 0,
    producer: '',
    producerVersion: '',
    graph: null,
    opsets: {},
    functions: [],
  }
  for (const field of reader.fields(span)) readModelField(reader, model, field)
  return model
}

function readModelField(reader: WireReader, model: Model, field: Field): void {
  switch (field.number) {
    case MODEL.irVersion:
      model.irVersion = Number(reader.unsigned(field))
      break
    case MODEL.producerName:
      model.producer = reader.text(field)
      break
    case MODEL.producerVersion:
      model.producerVersion = reader.text(field)
      break
    case MODEL.graph:
      // Parsers merge two graphs into one that no check has seen.
      if (model.graph) throw invalid('The file holds two graphs; a model has one.')
      model.graph = reader.message(field)
      break
    case MODEL.opsetImport:
      readOpset(reader, model, field)
      break
    case MODEL.functions:
      model.functions.push(reader.message(field))
  }
}

function readOpset(reader: WireReader, model: Model, field: Field): void {
  let domain = ''
  let version = 0
  for (const part of reader.fields(reader.message(field))) {
    if (part.number === OPSET.domain) domain = reader.text(part)
    if (part.number === OPSET.version) version = Number(reader.signed(part))
  }
  model.opsets[domain === 'ai.onnx' ? '' : domain] = version
}

function checkVersions(model: Model): void {
  if (model.irVersion < 1)
    throw invalid(
      'The file states no IR version: it is not an ONNX model, or its beginning is damaged.',
    )
  if (model.irVersion > IR_VERSION_MAX) {
    throw invalid(
      `The model has IR version ${model.irVersion}; this runtime takes at most ${IR_VERSION_MAX}. Export it with an older version of onnx, or set ir_version lower.`,
    )
  }
  if (Object.keys(model.opsets).length === 0)
    throw invalid(
      'The model imports no operator set; it must name the opset that its operators are of.',
    )
  for (const [domain, version] of Object.entries(model.opsets)) {
    const max = Object.hasOwn(OPSET_VERSION_MAX, domain) ? OPSET_VERSION_MAX[domain] : undefined
    const name = domain || 'ai.onnx'
    if (version < 1)
      throw invalid(`The model imports opset ${version} of ${quote(name)}; versions begin at 1.`)
    if (max !== undefined && version > max) {
      throw invalid(
        `The model uses opset ${version} of ${quote(name)}; this runtime supports at most ${max}. Export it with opset ${max} or below.`,
      )
    }
  }
}

function walkModel(
  reader: WireReader,
  model: Model,
  graph: Span,
  limits: InspectionLimits,
  bundledFiles: BundledFile[],
): Inspection {
  const walk: Walk = {
    reader,
    limits,
    bundled: new Map(bundledFiles.map(file => [file.path, file.size])),
    functions: new Map(model.functions.map(span => [nameFunction(reader, span), span])),
    nodes: 0,
    parameters: 0n,
    parameterBytes: 0n,
    external: new Set(),
    operators: new Map(),
  }
  if (walk.functions.size < model.functions.length)
    throw invalid('Two functions of the model have the same name.')
  const main: Body = { nodes: 0, calls: new Map() }
  const initializers = walkGraph(walk, graph, { body: main, scope: new Scope(null), depth: 1 })
  const bodies = new Map([...walk.functions].map(([key, span]) => [key, walkFunction(walk, span)]))
  if (expandedNodes(main, bodies) > limits.nodesMax) {
    throw invalid(
      `The graph has more than ${limits.nodesMax} nodes once its functions are put in place; no more are taken.`,
    )
  }
  const { inputs, outputs } = readValues(walk, graph, initializers)
  return {
    irVersion: model.irVersion,
    producer: [model.producer, model.producerVersion].filter(Boolean).join(' ').slice(0, 200),
    opsets: model.opsets,
    inputs,
    outputs,
    nodes: walk.nodes,
    operators: Object.fromEntries([...walk.operators].sort(([a], [b]) => (a < b ? -1 : 1))),
    parameters: Number(walk.parameters),
    parameterBytes: Number(walk.parameterBytes),
    externalFiles: [...walk.external].sort(),
  }
}

function nameFunction(reader: WireReader, span: Span): string {
  let name = ''
  let domain = ''
  let overload = ''
  for (const field of reader.fields(span)) {
    if (field.number === FUNCTION.name) name = reader.text(field)
    if (field.number === FUNCTION.domain) domain = reader.text(field)
    if (field.number === FUNCTION.overload) overload = reader.text(field)
  }
  return functionKey(domain, name, overload)
}

function readValues(walk: Walk, graph: Span, initializers: Set<string>) {
  const { reader, limits } = walk
  const inputs: GraphValue[] = []
  const outputs: GraphValue[] = []
  for (const field of reader.fields(graph)) {
    if (inputs.length + outputs.length > limits.inputsAndOutputsMax) {
      throw invalid(`The graph has more than ${limits.inputsAndOutputsMax} inputs and outputs.`)
    }
    // Old exporters list the weights among the inputs; they have their values already.
    if (field.number === GRAPH.input && !initializers.has(valueName(reader, field))) {
      inputs.push(readValue(reader, field, 'Input', limits.elementsMax))
    }
    if (field.number === GRAPH.output) {
      outputs.push(readValue(reader, field, 'Output', limits.elementsMax))
    }
  }
  if (outputs.length === 0) throw invalid('The graph has no outputs, so it can give no answer.')
  mustDiffer(inputs, 'inputs')
  mustDiffer(outputs, 'outputs')
  const shapeless = inputs.find(input => input.dims === null)
  if (shapeless)
    throw invalid(
      `Input ${quote(shapeless.name)} declares no shape; it must at least say how many dimensions it has.`,
    )
  return { inputs, outputs }
}

function mustDiffer(values: GraphValue[], side: string): void {
  const names = new Set<string>()
  for (const { name } of values) {
    if (names.has(name)) throw invalid(`Two ${side} of the graph are named ${quote(name)}.`)
    names.add(name)
  }
}

/** True for the refusals of this folder, which are the model's fault and safe to show. */
export function isInvalidModel(error: unknown): error is AppError {
  return error instanceof AppError && error.code === 'invalid_model'
}
