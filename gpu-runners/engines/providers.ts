/**
 * Execution providers of ONNX Runtime, and whether this machine has those that it was told to use. Found
 * out when a runner starts, so that a version which needs one is refused when it is published.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { Graph, model } from '#core/models/onnx/build.ts'
import { openOnnxRuntime } from './onnxruntime.ts'

export const PROVIDERS = ['cpu', 'cuda', 'tensorrt', 'coreml'] as const
export type Provider = (typeof PROVIDERS)[number]

export type Probed = {
  /** What sessions are opened with. */
  usable: Provider[]
  /** What is missing, in the engine's words; null: nothing is. */
  lacks: string | null
}

/** Opens a small graph with the providers in a process like any model's. */
export async function probe(deps: { log: Log }, providers: Provider[]): Promise<Probed> {
  if (providers.every(provider => provider === 'cpu')) return { usable: ['cpu'], lacks: null }
  const folder = await mkdtemp(join(tmpdir(), 'galley-probe-'))
  const engine = openOnnxRuntime({ ...deps, providers })
  try {
    const graphPath = join(folder, 'probe.onnx')
    await writeFile(graphPath, doubled())
    const spec = { datatype: 'FP32' as const, shape: [-1], batch_axis: 0 }
    const loaded = await engine.load({
      digest: 'probe',
      graphPath,
      signature: {
        inputs: [{ name: 'x', ...spec }],
        outputs: [{ name: 'y', ...spec }],
        batching: 'invariant',
      },
    })
    const x = { name: 'x', datatype: 'FP32' as const, shape: [1], data: Float32Array.of(21) }
    await loaded.run([x], ['y'])
    return { usable: providers, lacks: null }
  } catch (error) {
    const words = error instanceof AppError ? error.public : String(error)
    const lacks = `${providers.join(', ')} cannot be used: ${words}`
    deps.log.error('runner.provider_missing', { providers, error: String(error) })
    return { usable: ['cpu'], lacks }
  } finally {
    await engine.close()
    await rm(folder, { recursive: true, force: true })
  }
}

function doubled(): Uint8Array {
  const graph = new Graph('probe')
  graph.node('Add', [graph.input('x', 'FP32', ['batch']), 'x'], {}, { outputs: ['y'] })
  graph.output('y', 'FP32', ['batch'])
  return model(graph)
}
