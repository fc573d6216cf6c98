/**
 * What is left of a model's capacity when half as much again is asked of it, open loop, and an answer counts
 * only if it comes in time: a small text encoder, whose rows cost nearly the same alone and together.
 */
import { readFileSync } from 'node:fs'
import { Galley } from '#sdk/client.ts'
import { textEncoder } from '#tests/text-encoder.ts'
import { closedLoad } from '../closed-load.ts'
import { openLoad } from '../live/load-open.ts'
import { startProduct } from '../product.ts'
import type { Effort } from './small.ts'
import { textBody, VOCABULARY } from './transformer.ts'
import { median, round2 } from './verdict.ts'

const OVERLOAD = 1.5
const DEADLINE_MS = 50
const CALLERS = 64
/** More than can wait within the deadline, so that the generator never waits for a connection. */
const CONNECTIONS = 512

export const buildSmallEncoder = () =>
  textEncoder({ seed: 7, layers: 2, width: 128, heads: 4, vocabulary: VOCABULARY, positions: 64 })

export async function measureGoodput(
  graphPath: string,
  { rounds, ms, warmUpMs }: Effort,
  say: (line: string) => void,
) {
  const product = await startProduct()
  try {
    const { url, key } = product
    const model = 'small-text'
    const galley = new Galley({ baseUrl: url, key })
    await galley.publish(model, { 'model.onnx': readFileSync(graphPath) })
    const body = textBody(0)
    const path = `/v2/models/${model}/infer`
    const target = { port: Number(new URL(url).port), path, key, body }
    await closedLoad(target, { callers: CALLERS, ms: warmUpMs })
    const measured: { capacity: number; good: number }[] = []
    for (let round = 0; round < rounds; round++) {
      const { requests } = await closedLoad(target, { callers: CALLERS, ms })
      const capacity = requests / (ms / 1_000)
      const seconds = ms / 1_000
      const load = await openLoad(product, {
        work: './work/deadlines.ts',
        args: { model, body, timeoutMs: DEADLINE_MS },
        rate: Math.round(capacity * OVERLOAD),
        seconds,
        connections: CONNECTIONS,
      })
      const good = Number(load.good) / seconds
      say(
        `overload ${round2(good)}/s of ${round2(capacity)}/s came within ${DEADLINE_MS} ms at ${load.rate}/s · ${JSON.stringify(load.statuses)}`,
      )
      measured.push({ capacity, good })
    }
    // A round in which something else ran shows less than there is, and would flatter the share.
    const capacity = Math.max(...measured.map(round => round.capacity))
    const good = median(measured.map(round => round.good))
    return {
      goodput: round2(good / capacity),
      per_s: round2(good),
      capacity_per_s: round2(capacity),
      overload: OVERLOAD,
      deadline_ms: DEADLINE_MS,
    }
  } finally {
    await product.stop()
  }
}
