/**
 * From what a graph declares to a signature: datatypes, shapes, and on which axis rows of several
 * callers could be joined. A file rarely says which dimension is the batch, so it is deduced here and
 * settled by the trial run, whose word is final for outputs.
 */
import type { Signature, TensorSpec } from '#schemas/signature.ts'
import type { GraphValue, Inspection } from './inspect.ts'
import { quote, shapeText } from './inspection/quote.ts'
import { invalid } from './wire.ts'

/** Declared batch axis by tensor name; null: none. Tensors that are not named are deduced. */
export type BatchAxes = Record<string, number | null>
/** Shapes of outputs as they came out of two runs: of one row, and of `rows` rows. */
export type Observed = {
  rows: number
  one: Record<string, number[]>
  many: Record<string, number[]>
}

type Batch = { name: string | null }

const BATCH_NAME = /batch|^(n|b|bs|None)$/i

/**
 * The signature as far as the file tells it; `batching` is `unbatched` until a trial says otherwise.
 * Throws `invalid_model` when a declared axis cannot be one.
 */
export function derive(
  inspection: Pick<Inspection, 'inputs' | 'outputs'>,
  declared: BatchAxes = {},
): Signature {
  checkDeclared(inspection, declared)
  const batch = batchDimension(inspection.inputs, declared)
  const spec = (value: GraphValue, deduce: (value: GraphValue, batch: Batch) => number | null) => {
    const stated = Object.hasOwn(declared, value.name) ? declared[value.name]! : undefined
    const axis = stated !== undefined ? stated : batch && deduce(value, batch)
    return { name: value.name, datatype: value.datatype, shape: shapeOf(value), batch_axis: axis }
  }
  return {
    inputs: inspection.inputs.map(value => spec(value, inputAxis)),
    outputs: inspection.outputs.map(value => spec(value, outputAxis)),
    batching: 'unbatched',
  }
}

/**
 * Corrects the outputs by what the trial saw: real ranks and sizes where the graph is silent or wrong,
 * and as batch axis the one that grew with the rows. Throws when a declared axis did not.
 */
export function settle(signature: Signature, seen: Observed, declared: BatchAxes = {}): Signature {
  const outputs = signature.outputs.map(output => {
    const one = seen.one[output.name]!
    const many = seen.many[output.name]!
    const axis = grownAxis(one, many, seen.rows)
    const stated = Object.hasOwn(declared, output.name) ? declared[output.name] : undefined
    if (typeof stated === 'number' && axis !== stated) {
      throw invalid(
        `The manifest puts the batch axis of output ${quote(output.name)} at ${stated}; its shape was ${shapeText(one)} for one row and ${shapeText(many)} for ${seen.rows} rows.`,
      )
    }
    const shape = seenShape(output, one, many)
    return { ...output, shape, batch_axis: stated === null ? null : axis }
  })
  return { ...signature, outputs }
}

/** The same signature for a model that takes no more than one row at once. */
export function withoutRows(signature: Signature, shapes: Record<string, number[]>): Signature {
  const outputs = signature.outputs.map(output => {
    const one = shapes[output.name]!
    return { ...output, shape: seenShape(output, one, one), batch_axis: null }
  })
  const inputs = signature.inputs.map(input => ({ ...input, batch_axis: null }))
  return { inputs, outputs, batching: 'unbatched' }
}

function checkDeclared(
  { inputs, outputs }: Pick<Inspection, 'inputs' | 'outputs'>,
  declared: BatchAxes,
): void {
  const values = [...inputs, ...outputs]
  for (const [name, axis] of Object.entries(declared)) {
    const value = values.find(each => each.name === name)
    if (!value) {
      const known = values.slice(0, 10).map(each => quote(each.name))
      throw invalid(
        `The manifest declares a batch axis for ${quote(name)}, which is no input or output; there are ${known.join(', ')}.`,
      )
    }
    if (axis === null || value.dims === null) continue
    const dim = value.dims[axis]
    if (dim === undefined) {
      throw invalid(
        `The manifest puts the batch axis of ${quote(name)} at ${axis}, and its shape is ${shapeText(value.dims)}; axes count from 0.`,
      )
    }
    // Outputs may declare less than they do; the trial run decides.
    if (typeof dim === 'number' && inputs.includes(value)) {
      throw invalid(
        `The manifest puts the batch axis of ${quote(name)} at ${axis}, where its shape ${shapeText(value.dims)} is fixed to ${dim}; a batch axis must be a dynamic dimension.`,
      )
    }
  }
}

function batchDimension(inputs: GraphValue[], declared: BatchAxes): Batch | null {
  for (const { name, dims } of inputs) {
    const axis = declared[name]
    if (typeof axis === 'number') return { name: dims![axis] as string | null }
  }
  const names = inputs.flatMap(input => input.dims!)
  const called = names.find(dim => typeof dim === 'string' && BATCH_NAME.test(dim))
  if (called !== undefined) return { name: called as string }
  const first = inputs.find(input => isDynamic(input.dims![0]))
  return first ? { name: first.dims![0] as string | null } : null
}

function inputAxis({ dims }: GraphValue, batch: Batch): number | null {
  if (!dims) return null
  if (batch.name !== null && dims.includes(batch.name)) return dims.indexOf(batch.name)
  if (dims[0] === null) return 0
  // Where nothing has a name, the only dimension that is free can be no other (a recurrent state).
  const free = dims.filter(isDynamic).length
  return batch.name === null && free === 1 ? dims.indexOf(null) : null
}

/** Exporters often give the batch of an output a name of its own. */
function outputAxis(value: GraphValue, batch: Batch): number | null {
  return inputAxis(value, batch) ?? (isDynamic(value.dims?.[0]) ? 0 : null)
}

function isDynamic(dim: number | string | null | undefined): boolean {
  return dim === null || typeof dim === 'string'
}

function shapeOf({ dims }: GraphValue): number[] {
  return (dims ?? []).map(dim => (typeof dim === 'number' ? dim : -1))
}

/** The one axis that had a row each; null when there is none, or another axis changed too. */
function grownAxis(one: number[], many: number[], rows: number): number | null {
  if (one.length !== many.length) return null
  const changed = one.flatMap((size, axis) => (size === many[axis] ? [] : [axis]))
  const [axis] = changed
  if (axis === undefined || changed.length > 1) return null
  return one[axis] === 1 && many[axis] === rows ? axis : null
}

function seenShape(output: TensorSpec, one: number[], many: number[]): number[] {
  if (one.length !== many.length) return output.shape
  const declared = output.shape.length === one.length ? output.shape : one.map(() => -1)
  return one.map((size, axis) => {
    const isFixed = size === many[axis] && declared[axis] === size
    return isFixed ? size : -1
  })
}
