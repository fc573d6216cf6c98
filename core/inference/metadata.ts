/** Model metadata in the form of the Open Inference Protocol. */
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

function shown({ name, datatype, shape }: TensorSpec) {
  return { name, datatype, shape }
}
