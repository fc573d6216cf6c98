/**
 * `npm run bench -- memory`: a model of 200 MB is loaded, asked and unloaded a hundred times by a runner's
 * own code. Measured is what the runner and all its engine processes hold (resident set size), with
 * the model and without it, after 10 and after 100 cycles.
 */
import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as blobKeys from '#core/blob-keys.ts'
import type { Servable } from '#core/deps.ts'
import { Graph, model } from '#core/models/onnx/build.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { newId } from '#schemas/ids.ts'
import type { Cycle, Work } from './runner.ts'

const CYCLES = 100
const FIRST = 10
/** 12 layers of 2048 × 2048 floats: 201 MB. */
const LAYERS = 12
const WIDTH = 2048

const tenantId = newId('tenant')
const folder = mkdtempSync(join(tmpdir(), 'galley-bench-'))
try {
  const large = await publish(dense(LAYERS, WIDTH))
  const small = await publish(dense(1, 8))
  const cycles = await runCycles({ folder, cycles: CYCLES, tenantId, large, small })
  const [first, last] = [cycles[FIRST - 1]!, cycles[CYCLES - 1]!]
  const growth = (of: (cycle: Cycle) => number) => Number((of(last) / of(first) - 1).toFixed(3))
  const result = {
    bench: 'memory',
    cycles: CYCLES,
    file_mb: Math.round(large.manifest.files[0]!.size / 2 ** 20),
    load_ms: Math.round(cycles.reduce((sum, { loadMs }) => sum + loadMs, 0) / CYCLES),
    loaded_mb: { after_10: first.loadedMb, after_100: last.loadedMb },
    unloaded_mb: { after_10: first.unloadedMb, after_100: last.unloadedMb },
    loaded_growth: growth(cycle => cycle.loadedMb),
    unloaded_growth: growth(cycle => cycle.unloadedMb),
  }
  process.stdout.write(`${JSON.stringify(result)}\n`)
} finally {
  rmSync(folder, { recursive: true })
}

/** In a process that has done nothing else, with the allocator's settings that `npm start` gives. */
async function runCycles(work: Work): Promise<Cycle[]> {
  const runner = fork(fileURLToPath(new URL('./runner.ts', import.meta.url)), {
    env: { ...process.env, MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072' },
  })
  const cycles: Cycle[] = []
  runner.on('message', (cycle: Cycle) => {
    cycles.push(cycle)
    const { cycle: number, loadedMb, unloadedMb } = cycle
    if (number % FIRST > 0) return
    process.stdout.write(`cycle ${number}: ${loadedMb} MB with it, ${unloadedMb} MB without\n`)
  })
  runner.send(work)
  await once(runner, 'exit')
  if (cycles.length < CYCLES) throw new Error(`the runner ended after ${cycles.length} cycles`)
  return cycles
}

async function publish(bytes: Uint8Array): Promise<Servable> {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const blobs = folderBlobs({ root: join(folder, 'blobs') })
  await blobs.put(blobKeys.file(tenantId, sha256), bytes)
  const width = bytes.length > 2 ** 20 ? WIDTH : 8
  const spec = (name: string) => ({
    name,
    datatype: 'FP32' as const,
    shape: [-1, width],
    batch_axis: 0,
  })
  return {
    model: `dense-${width}`,
    version: 1,
    digest: sha256,
    manifest: { graph: 'm.onnx', files: [{ path: 'm.onnx', sha256, size: bytes.length }] },
    signature: { inputs: [spec('x')], outputs: [spec('y')], batching: 'invariant' },
  }
}

function dense(layers: number, width: number): Uint8Array {
  const graph = new Graph('dense')
  let state = 1
  let last = graph.input('x', 'FP32', ['batch', width])
  for (let layer = 1; layer <= layers; layer++) {
    const weights = new Float32Array(width * width)
    for (let i = 0; i < weights.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      weights[i] = (state / 2 ** 31 - 1) / Math.sqrt(width)
    }
    const raw = new Uint8Array(weights.buffer)
    graph.initializer(`w${layer}`, { datatype: 'FP32', dims: [width, width], raw })
    const product = graph.node('MatMul', [last, `w${layer}`])
    last = graph.node('Relu', [product], {}, layer === layers ? { outputs: ['y'] } : {})
  }
  graph.output('y', 'FP32', ['batch', width])
  return model(graph)
}
