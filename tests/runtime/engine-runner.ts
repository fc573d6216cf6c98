/** A runner that a test kills: loads a graph, says its engine's pid, and perhaps starts a run. */
import { openOnnxRuntime } from '#gpu-runners/engines/onnxruntime.ts'
import type { Signature } from '#schemas/signature.ts'

const [graphPath, busy] = process.argv.slice(2) as [string, string]
const spec = (name: string) => ({ name, datatype: 'FP32', shape: [-1, 4], batch_axis: 0 }) as const
const signature: Signature = {
  inputs: [spec('x') as never],
  outputs: [spec('y') as never],
  batching: 'invariant',
}
const engine = openOnnxRuntime({ log: { info() {}, error() {} } })
const model = await engine.load({ digest: 'd', graphPath, signature })
if (busy === 'busy') {
  const data = new Float32Array(4)
  void model.run([{ name: 'x', datatype: 'FP32', shape: [1, 4], data }], ['y'])
}
process.send!(engine.processes()[0]!.pid)
