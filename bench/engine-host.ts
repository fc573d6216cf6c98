/**
 * Where the engine runs: on the serving thread, in a worker thread, or in a process. The same batches
 * of a small network, one at a time, the hosts in turn within each round; processor time over all
 * threads and processes. Then a large graph, loaded and unloaded again and again: what stays.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { openOnnxRuntime } from '#gpu-runners/engines/onnxruntime.ts'
import {
  batchOf,
  cpuUs,
  FEATURES,
  median,
  pssMb,
  round,
  SIGNATURE,
  withGraph,
} from './engine-work.ts'

const ROUNDS = 7
const RUNS = 3_000
const CYCLES = 15
const log = { info() {}, error() {} }

type Host = { run(rows: number): Promise<void>; pids(): number[]; close(): Promise<void> }

async function onThread(graphPath: string, arena: boolean): Promise<Host> {
  const options = { enableCpuMemArena: arena, enableMemPattern: arena }
  const session = await InferenceSession.create(graphPath, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    ...options,
  })
  return {
    async run(rows) {
      const { data, shape } = batchOf(rows)
      await session.run({ x: new Tensor('float32', data as Float32Array, shape) })
    },
    pids: () => [],
    close: () => session.release(),
  }
}

async function inWorker(graphPath: string): Promise<Host> {
  const worker = new Worker(new URL('./engine-host-worker.ts', import.meta.url))
  const ask = async (message: object, transfer: ArrayBuffer[] = []) => {
    worker.postMessage(message, transfer)
    await once(worker, 'message')
  }
  await ask({ load: graphPath, arena: false })
  return {
    run(rows) {
      const { data, shape } = batchOf(rows)
      return ask({ data, shape }, [(data as Float32Array<ArrayBuffer>).buffer])
    },
    pids: () => [],
    async close() {
      await ask({ unload: true })
      await worker.terminate()
    },
  }
}

async function inProcess(graphPath: string): Promise<Host> {
  const engine = openOnnxRuntime({ log })
  const model = await engine.load({ digest: 'd', graphPath, signature: SIGNATURE })
  return {
    async run(rows) {
      await model.run([batchOf(rows)], ['y'])
    },
    pids: () => engine.processes().map(({ pid }) => pid),
    close: () => engine.close(),
  }
}

async function speed(graphPath: string) {
  const hosts: Record<string, Host> = {
    thread: await onThread(graphPath, false),
    thread_arena: await onThread(graphPath, true),
    worker: await inWorker(graphPath),
    process: await inProcess(graphPath),
  }
  const result: Record<string, object> = {}
  for (const rows of [1, 16, 64]) {
    const seen: Record<string, { wall: number[]; cpu: number[] }> = {}
    for (let r = -1; r < ROUNDS; r++) {
      for (const [name, host] of Object.entries(hosts)) {
        const cpuStart = cpuUs(host.pids())
        const start = performance.now()
        for (let i = 0; i < RUNS; i++) await host.run(rows)
        const wall = ((performance.now() - start) * 1000) / RUNS
        const cpu = (cpuUs(host.pids()) - cpuStart) / RUNS
        seen[name] ??= { wall: [], cpu: [] }
        if (r < 0) continue
        seen[name].wall.push(wall)
        seen[name].cpu.push(cpu)
      }
    }
    result[`batch_${rows}`] = Object.fromEntries(
      Object.entries(seen).map(([name, { wall, cpu }]) => [
        name,
        {
          wall_us: round(median(wall)),
          cpu_us: round(median(cpu)),
          rows_per_s: Math.round((rows * 1e6) / median(wall)),
        },
      ]),
    )
  }
  const idle_process_pss_mb = round(pssMb(hosts.process!.pids()[0]!))
  for (const host of Object.values(hosts)) await host.close()
  return { ...result, idle_process_pss_mb }
}

/** Memory of this process after cycles of load, run and unload, above what it was before. */
async function kept(
  graphPath: string,
  open: (graphPath: string) => Promise<Host>,
): Promise<number> {
  const before = pssMb('self')
  for (let i = 0; i < CYCLES; i++) {
    const host = await open(graphPath)
    await host.run(8)
    await host.close()
  }
  return round(pssMb('self') - before)
}

/** The same in a process that has done nothing else, with one allocator arena as a runner has. */
async function keptApart(graphPath: string, name: string): Promise<number> {
  const env = { ...process.env, MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072' }
  const child = fork(import.meta.filename, [name, graphPath], { env })
  const [megabytes] = (await once(child, 'message')) as [number]
  return megabytes
}

const OPENERS: Record<string, (graphPath: string) => Promise<Host>> = {
  process: inProcess,
  worker: inWorker,
  thread: graphPath => onThread(graphPath, false),
  thread_arena: graphPath => onThread(graphPath, true),
}
const [name, path] = process.argv.slice(2)
if (name && path) {
  process.send!(await kept(path, OPENERS[name]!))
  process.disconnect()
} else {
  const fast = await withGraph([FEATURES, 64, 32, 1], speed)
  const keptMb = await withGraph([FEATURES, 2000, 4000, 1000, 1], async graphPath => {
    const megabytes: Record<string, number> = {}
    for (const name of Object.keys(OPENERS)) megabytes[name] = await keptApart(graphPath, name)
    return megabytes
  })
  const result = {
    bench: 'engine-host',
    rounds: ROUNDS,
    runs: RUNS,
    ...fast,
    kept_mb_after_unload: keptMb,
  }
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
