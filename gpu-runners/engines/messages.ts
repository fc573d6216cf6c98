/** What a runner asks of an engine process, and what its replies mean. */
import { AppError } from '#core/error.ts'
import { layoutOf } from '#core/inference/layout.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import type { Signature } from '#schemas/signature.ts'
import type { LoadedText, LoadText } from './child.ts'
import type { ModelFiles, RunResult } from './engine.ts'
import { EMPTY, type Frame } from './frames.ts'

export function loadFrame(
  model: number,
  { graphPath, signature }: ModelFiles,
  settings: Pick<LoadText, 'threads' | 'providers'>,
) {
  const text: LoadText = {
    graphPath,
    inputs: signature.inputs.map(input => input.name),
    outputs: signature.outputs.map(output => output.name),
    ...settings,
  }
  return { ...EMPTY, kind: 'load', model, text: JSON.stringify(text) } as const
}

export function runFrame(
  signature: Signature,
  inputs: readonly Tensor[],
  names: readonly string[],
) {
  const layout = layoutOf(signature)
  const wanted = names.map(name => layout.outputs.get(name)!)
  const tensors = inputs.map(({ datatype, shape, data }, index) => ({
    index,
    datatype,
    shape,
    data,
  }))
  return { ...EMPTY, kind: 'run', wanted, tensors } as const
}

/** By how much the process grew with the model. Throws `invalid_model` with the engine's words. */
export function grownBytes(reply: Frame, files: ModelFiles): number {
  if (reply.kind !== 'failed') return (JSON.parse(reply.text) as LoadedText).grownBytes
  throw new AppError('invalid_model', {
    public: `The engine cannot load the graph: ${spoken(reply.text, files)}`,
    internal: reply.text,
  })
}

/** Throws `inference_failed` with the engine's words. */
export function resultOf(reply: Frame, names: readonly string[], files: ModelFiles): RunResult {
  if (reply.kind === 'failed') {
    throw new AppError('inference_failed', {
      public: `The model failed on this input: ${spoken(reply.text, files)}`,
      internal: reply.text,
    })
  }
  const outputs = reply.tensors.map(({ datatype, shape, data }, i) => ({
    name: names[i]!,
    datatype,
    shape: shape as number[],
    data,
  }))
  return { outputs, computeUs: reply.computeUs }
}

/** The engine's words without where the file lies on this machine. */
function spoken(text: string, { graphPath }: ModelFiles): string {
  const folder = graphPath.slice(0, graphPath.lastIndexOf('/') + 1)
  return text.replaceAll(graphPath, 'the graph').replaceAll(folder, '').slice(0, 500)
}
