/** How large and how deep a graph may be. Real models stay far below; bombs do not. */

export type InspectionLimits = {
  /** Protocol Buffers parsers stop at 100 messages within messages; a subgraph costs three. */
  depthMax: number
  /** Nodes of the graph, its subgraphs and its functions, each function counted wherever it is used. */
  nodesMax: number
  /** Fields of all messages together: bounds the time of the walk. */
  fieldsMax: number
  /** Elements of one input, output or computed tensor as far as the file states them. */
  elementsMax: number
  inputsAndOutputsMax: number
  /** Protocol Buffers cannot hold more than 2 GiB in one message. */
  graphBytesMax: number
}

export const INSPECTION_LIMITS: InspectionLimits = {
  depthMax: 96,
  nodesMax: 100_000,
  fieldsMax: 8_000_000,
  elementsMax: 2 ** 28,
  inputsAndOutputsMax: 1_000,
  graphBytesMax: 2 ** 31 - 1,
}
