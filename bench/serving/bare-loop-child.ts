/**
 * The bare loop: ONNX Runtime in a process that does nothing else, over batches that are ready in memory, of
 * one size after the other. Prints the rows per second of the size that was best.
 */
import { parseArgs } from 'node:util'
import * as ort from 'onnxruntime-node'
import { SEQUENCE, tokensOf } from './transformer.ts'

const SIZES = [1, 4, 16, 32]

const { values } = parseArgs({
  options: {
    graph: { type: 'string' },
    ms: { type: 'string' },
    threads: { type: 'string', default: '1' },
  },
})
const session = await ort.InferenceSession.create(values.graph!, {
  intraOpNumThreads: Number(values.threads),
  interOpNumThreads: 1,
})
let best = { per_s: 0, batch: 0 }
for (const batch of SIZES) {
  const ids = Array.from({ length: batch }, (_, i) => tokensOf(i)).flat()
  const shape = [batch, SEQUENCE]
  const feeds = {
    input_ids: new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), shape),
    attention_mask: new ort.Tensor('int64', new BigInt64Array(ids.length).fill(1n), shape),
  }
  await session.run(feeds, ['embedding'])
  const began = performance.now()
  const until = began + Number(values.ms) / SIZES.length
  let rows = 0
  for (; performance.now() < until; rows += batch) await session.run(feeds, ['embedding'])
  const perS = rows / ((performance.now() - began) / 1_000)
  if (perS > best.per_s) best = { per_s: perS, batch }
}
process.stdout.write(`${JSON.stringify(best)}\n`)
