/**
 * A prediction inside the runner, without the network: decode, batch, run in the engine's process,
 * encode, for 64 callers that each ask again when they are answered. Beside it a bare loop that does
 * the same to 64 bodies at a time with nothing checked, billed or isolated: JSON.parse, one joined
 * tensor, ONNX Runtime on the same thread, JSON.stringify. Processor time of all processes, in turn.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { decodeRequest, encodeReply } from '#core/inference/oip.ts'
import { type BatchMetrics, createBatcher } from '#gpu-runners/batcher/batcher.ts'
import { openOnnxRuntime } from '#gpu-runners/engines/onnxruntime.ts'
import { batchOf, cpuUs, FEATURES, median, round, SIGNATURE, withGraph } from './engine-work.ts'

const CALLERS = 64
const ROUNDS = 9
const REQUESTS = 64 * 800

const log = { info() {}, error() {} }
const clock = { now: () => Date.now() }
const bodies = Array.from({ length: CALLERS }, (_, i) => {
  const data = [
    ...(batchOf(CALLERS).data as Float32Array).subarray(i * FEATURES, (i + 1) * FEATURES),
  ]
  const inputs = [
    { name: 'x', datatype: 'FP32', shape: [1, FEATURES], data: data.map(v => round(v, 6)) },
  ]
  return new TextEncoder().encode(JSON.stringify({ id: `r${i}`, inputs }))
})

type Side = { name: string; work(): Promise<void>; pids(): number[]; close(): Promise<void> }

async function galley(graphPath: string, onBatch: (metrics: BatchMetrics) => void): Promise<Side> {
  const engine = openOnnxRuntime({ log })
  const model = await engine.load({ digest: 'd', graphPath, signature: SIGNATURE })
  const batcher = createBatcher({ model, signature: SIGNATURE, clock, onBatch })
  let left = 0
  async function caller(i: number) {
    while (left-- > 0) {
      const request = decodeRequest({ body: bodies[i]!, jsonLength: null, signature: SIGNATURE })
      const answer = await batcher.submit({
        tenant: 't',
        inputs: request.inputs,
        outputs: request.outputs.map(output => output.name),
        deadlineMs: Date.now() + 30_000,
      })
      encodeReply({
        modelName: 'mlp',
        modelVersion: '1',
        id: request.id ?? '',
        signature: SIGNATURE,
        outputs: answer.outputs,
        requested: request.outputs,
      })
    }
  }
  return {
    name: 'galley',
    async work() {
      left = REQUESTS
      await Promise.all(bodies.map((_, i) => caller(i)))
    },
    pids: () => engine.processes().map(({ pid }) => pid),
    close: () => engine.close(),
  }
}

async function bare(graphPath: string): Promise<Side> {
  const session = await InferenceSession.create(graphPath, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
  })
  const decoder = new TextDecoder()
  const encoder = new TextEncoder()
  return {
    name: 'bare',
    async work() {
      for (let done = 0; done < REQUESTS; done += CALLERS) {
        const joined = new Float32Array(CALLERS * FEATURES)
        bodies.forEach((body, i) => {
          joined.set(JSON.parse(decoder.decode(body)).inputs[0].data, i * FEATURES)
        })
        const { y } = await session.run({ x: new Tensor('float32', joined, [CALLERS, FEATURES]) })
        const values = y!.data as Float32Array
        for (let i = 0; i < CALLERS; i++) {
          const outputs = [{ name: 'y', datatype: 'FP32', shape: [1, 1], data: [values[i]] }]
          encoder.encode(
            JSON.stringify({ model_name: 'mlp', model_version: '1', id: `r${i}`, outputs }),
          )
        }
      }
    },
    pids: () => [],
    close: () => session.release(),
  }
}

const result = await withGraph([FEATURES, 64, 32, 1], async graphPath => {
  const batches: BatchMetrics[] = []
  const sides = [await galley(graphPath, metrics => batches.push(metrics)), await bare(graphPath)]
  const seen: Record<string, { cpu: number[]; wall: number[] }> = {}
  for (let r = -1; r < ROUNDS; r++) {
    for (const side of sides) {
      const cpuStart = cpuUs(side.pids())
      const start = performance.now()
      await side.work()
      const wall = ((performance.now() - start) * 1000) / REQUESTS
      const cpu = (cpuUs(side.pids()) - cpuStart) / REQUESTS
      seen[side.name] ??= { cpu: [], wall: [] }
      if (r < 0) continue
      seen[side.name]!.cpu.push(cpu)
      seen[side.name]!.wall.push(wall)
    }
  }
  for (const side of sides) await side.close()
  const numbers = Object.fromEntries(
    Object.entries(seen).map(([name, { cpu, wall }]) => [
      name,
      { cpu_us: round(median(cpu), 2), per_s: Math.round(1e6 / median(wall)) },
    ]),
  )
  const ratios = seen.galley!.cpu.map((cpu, i) => cpu / seen.bare!.cpu[i]!)
  const batchRows = batches.reduce((sum, b) => sum + b.rows, 0) / batches.length
  return {
    callers: CALLERS,
    ...numbers,
    cpu_ratio: round(median(ratios), 2),
    batch_rows: round(batchRows),
  }
})
process.stdout.write(`${JSON.stringify({ bench: 'engine', ...result })}\n`)
