/**
 * What the codec looks up for every request, computed once a signature: a signature is immutable, so
 * the object itself is the key.
 */
import { DATATYPES, type Datatype, type Signature, type TensorSpec } from '#schemas/signature.ts'

/** One output that a caller wants, by its place in the signature, and in which form. */
export type OutputRequest = {
  name: string
  index: number
  binary: boolean
  /** So many of its largest values instead of itself; absent: itself. */
  classes?: number
}

export type Layout = {
  inputs: Map<string, number>
  outputs: Map<string, number>
  outputSpecs: readonly TensorSpec[]
  /** A 64-bit integer input: JSON numbers past 2^53 must be read exactly. */
  wide: boolean
  allAsJson: readonly OutputRequest[]
  allAsBinary: readonly OutputRequest[]
  /** Up to the opening bracket of the shape. */
  outputHeads: string[]
}

const layouts = new WeakMap<Signature, Layout>()

export function layoutOf(signature: Signature): Layout {
  let layout = layouts.get(signature)
  if (!layout) {
    layout = compile(signature)
    layouts.set(signature, layout)
  }
  return layout
}

/** Whether JSON can carry the values; 16-bit floats travel as bytes alone. */
export function hasJsonForm(datatype: Datatype): boolean {
  return datatype !== 'FP16' && datatype !== 'BF16'
}

export function isDatatype(text: unknown): text is Datatype {
  return (DATATYPES as readonly unknown[]).includes(text)
}

/** Of an output in a reply, up to the opening bracket of its shape. */
export function outputHead(name: string, datatype: Datatype): string {
  return `{"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[`
}

function compile(signature: Signature): Layout {
  const all = (binary: boolean) =>
    Object.freeze(signature.outputs.map((output, index) => ({ name: output.name, index, binary })))
  return {
    inputs: new Map(signature.inputs.map((input, index) => [input.name, index])),
    outputs: new Map(signature.outputs.map((output, index) => [output.name, index])),
    outputSpecs: signature.outputs,
    wide: signature.inputs.some(i => i.datatype === 'INT64' || i.datatype === 'UINT64'),
    allAsJson: all(false),
    allAsBinary: all(true),
    outputHeads: signature.outputs.map(({ name, datatype }) => outputHead(name, datatype)),
  }
}
