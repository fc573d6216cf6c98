/** Triton's raw request: a body that is the one tensor and nothing else. */
import type { Signature } from '#schemas/signature.ts'
import { invalid, listed } from './invalid.ts'
import { fromBinary, text } from './oip-binary.ts'
import { checkShape } from './oip-shape.ts'
import { ELEMENT_BYTES, elementCount, type Tensor } from './tensor.ts'

/** The tensor; its shape follows from the signature and the size. */
export function rawInput(body: Uint8Array, { inputs }: Signature): Tensor {
  const spec = inputs[0]!
  if (inputs.length !== 1) {
    const names = listed(inputs.map(({ name }) => name))
    invalid(
      `A raw request (Inference-Header-Content-Length: 0) is for models with one input; this one takes ${names}.`,
    )
  }
  const { name, datatype } = spec
  const shape = [...spec.shape]
  const open = () => shape.filter(dim => dim === -1).length
  const closed = () => shape.map(dim => (dim === -1 ? 1 : dim))
  // One row, unless the rows are the only thing that the size can tell.
  if (spec.batch_axis !== null && (open() > 1 || datatype === 'BYTES')) shape[spec.batch_axis] = 1
  if (datatype === 'BYTES') {
    if (elementCount(closed()) !== 1) {
      invalid(`A raw request for BYTES takes one element; "${name}" has more.`)
    }
    return { name, datatype, shape: closed(), data: [text(spec, body)] }
  }
  if (open() > 1) {
    invalid(`A raw request needs a shape with one open dimension; "${name}" takes [${spec.shape}].`)
  }
  if (open() === 1) {
    const rest = elementCount(closed()) * ELEMENT_BYTES[datatype]
    shape[shape.indexOf(-1)] = rest > 0 ? Math.floor(body.length / rest) : 0
  }
  const count = checkShape(spec, shape)
  return { name, datatype, shape, data: fromBinary(spec, shape, count, body, 0, body.length) }
}
