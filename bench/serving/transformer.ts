/** Embeddings of a text encoder through the whole path, beside a bare loop over the same file. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Galley } from '#sdk/client.ts'
import { textEncoder } from '#tests/text-encoder.ts'
import { closedLoad } from '../closed-load.ts'
import { startProduct } from '../product.ts'
import type { Effort } from './small.ts'
import { median, round2 } from './verdict.ts'

export const SEQUENCE = 32
export const VOCABULARY = 8_192
const CALLERS = 32
/** A round is longer than one of the small models: a run takes a tenth of a second. */
const LONGER = 2

const run = promisify(execFile)
const BARE_LOOP = fileURLToPath(new URL('./bare-loop-child.ts', import.meta.url))

export const buildTransformer = () =>
  textEncoder({ seed: 7, layers: 4, width: 384, heads: 12, vocabulary: VOCABULARY, positions: 128 })

export function tokensOf(i: number): number[] {
  return Array.from({ length: SEQUENCE }, (_, t) => (i * 7_919 + t * 104_729) % VOCABULARY)
}

/** Texts a second, as a share of the bare loop's: the median of rounds. */
export async function measureTransformer(
  graphPath: string,
  { rounds, ms, warmUpMs }: Effort,
  say: (line: string) => void,
) {
  const product = await startProduct()
  try {
    const { url, key } = product
    const galley = new Galley({ baseUrl: url, key })
    const { tuning } = await galley.publish('text', { 'model.onnx': readFileSync(graphPath) })
    const threads = tuning?.threads ?? 1
    const port = Number(new URL(url).port)
    const target = { port, path: '/v2/models/text/infer', key, body: textBody(0) }
    await closedLoad(target, { callers: CALLERS, ms: warmUpMs })
    const measured: { perS: number; bare: number; share: number }[] = []
    for (let round = 0; round < rounds; round++) {
      const bare = await bareLoop(graphPath, ms * LONGER, threads)
      const { requests, p99_ms } = await closedLoad(target, { callers: CALLERS, ms: ms * LONGER })
      const perS = requests / ((ms * LONGER) / 1_000)
      say(
        `transformer ${round2(perS)}/s at ${CALLERS} callers (p99 ${p99_ms} ms) · bare loop ${round2(bare.per_s)}/s in batches of ${bare.batch}, either with ${threads} thread${threads > 1 ? 's' : ''}`,
      )
      measured.push({ perS, bare: bare.per_s, share: perS / bare.per_s })
    }
    const middle = (field: 'perS' | 'bare' | 'share') =>
      round2(median(measured.map(round => round[field])))
    return {
      vs_bare: middle('share'),
      threads,
      per_s: middle('perS'),
      bare_per_s: middle('bare'),
    }
  } finally {
    await product.stop()
  }
}

/** A request for the embedding of one text. */
export function textBody(i: number): string {
  const shape = [1, SEQUENCE]
  const ids = tokensOf(i)
  return JSON.stringify({
    inputs: [
      { name: 'input_ids', shape, datatype: 'INT64', data: ids },
      { name: 'attention_mask', shape, datatype: 'INT64', data: ids.map(() => 1) },
    ],
    outputs: [{ name: 'embedding' }],
  })
}

async function bareLoop(graphPath: string, ms: number, threads: number) {
  const flags = ['--graph', graphPath, '--ms', String(ms), '--threads', String(threads)]
  const { stdout } = await run(process.execPath, [BARE_LOOP, ...flags])
  return JSON.parse(stdout) as { per_s: number; batch: number }
}
