/** What a model takes and gives, in the forms of the Open Inference Protocol and of Triton's extension. */
import type { Servable } from '#core/router.ts'
import type { Signature, TensorSpec } from '#schemas/signature.ts'

export function modelMetadata(name: string, versions: string[], signature: Signature) {
  return {
    name,
    versions,
    platform: 'onnx_onnxv1',
    inputs: signature.inputs.map(shown),
    outputs: signature.outputs.map(shown),
    properties: { batching: signature.batching },
  }
}

/** Of one run, where it was not measured; a request of more rows is divided and answered as one. */
const BATCH_ROWS_MAX = 256

/**
 * Triton's model configuration, as far as it says something here. Where every tensor has its rows on axis 0,
 * `dims` leave that axis out and `max_batch_size` counts it, as clients expect; for all other models
 * `max_batch_size` is 0 and `dims` are whole.
 */
export function modelConfig({ model, signature, tuning }: Servable) {
  const { inputs, outputs, batching } = signature
  const isBatched =
    batching !== 'unbatched' && [...inputs, ...outputs].every(each => each.batch_axis === 0)
  const tensors = (specs: TensorSpec[]) =>
    specs.map(({ name, datatype, shape }) => ({
      name,
      data_type: `TYPE_${datatype === 'BYTES' ? 'STRING' : datatype}`,
      dims: isBatched ? shape.slice(1) : shape,
    }))
  return {
    name: model,
    platform: 'onnxruntime_onnx',
    backend: 'onnxruntime',
    max_batch_size: isBatched ? (tuning?.batchRows ?? BATCH_ROWS_MAX) : 0,
    input: tensors(inputs),
    output: tensors(outputs),
    ...(isBatched && { dynamic_batching: {} }),
  }
}

function shown({ name, datatype, shape }: TensorSpec) {
  return { name, datatype, shape }
}
