/**
 * What ONNX Runtime 1.30 on a CPU can load, found by trying: the newest IR version, and the newest
 * version of each operator set that it has kernels for. A test loads a model at each of these and one
 * beyond, so an update of the runtime shows here.
 */
export const IR_VERSION_MAX = 13

/** '' and 'ai.onnx' are the same set. */
export const OPSET_VERSION_MAX: Readonly<Record<string, number>> = {
  '': 26,
  'ai.onnx': 26,
  'ai.onnx.ml': 5,
  'ai.onnx.preview.training': 1,
  'com.microsoft': 1,
  'com.microsoft.nchwc': 1,
}
