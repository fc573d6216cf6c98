/**
 * `npm run bench -- bulk`: a job over a large file, through the public API and the whole product, beside
 * ONNX Runtime alone. The job counts from the lease of its first step to its stored result: shards planned,
 * read, checked, run, written, stored, each with its receipt, and joined. Beside it, in turn, with the same
 * threads and batches: `bare`, which runs over rows that lie in memory as tensors and keeps the outputs, and
 * `script`, which does what one would write by hand: read the same file line by line, JSON.parse, run,
 * JSON.stringify, write a file.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Galley, type Job } from '#sdk/client.ts'
import { withFile } from '#sdk/node.ts'
import { mlp } from '#tests/models.ts'
import { startProduct } from '../product.ts'
import { type Loop, openLoop } from './loop.ts'

const { values: given } = parseArgs({
  args: process.argv.slice(3),
  options: {
    models: { type: 'string', default: 'mlp_512,mlp_64' },
    rounds: { type: 'string', default: '3' },
  },
})
const ROUNDS = Number(given.rounds)
const FEATURES = 30
const MODELS = {
  /** 0.5 million weights, such as a scorer of customers has: tens of microseconds a row. */
  mlp_512: { sizes: [FEATURES, 512, 512, 512, 1], rows: 300_000 },
  /** So small that reading a row's JSON takes longer than its inference. */
  mlp_64: { sizes: [FEATURES, 64, 32, 1], rows: 300_000 },
}

const named = given.models.split(',')
const unknown = named.filter(name => !Object.hasOwn(MODELS, name))
if (unknown.length > 0) {
  process.stderr.write(
    `bench bulk: there is no model ${unknown}; --models takes ${Object.keys(MODELS)}.\n`,
  )
  process.exit(2)
}

type Rates = { galley: number[]; bare: number[]; script: number[] }

const folder = mkdtempSync(join(tmpdir(), 'galley-bulk-'))
const product = await startProduct()
try {
  const galley = new Galley({ baseUrl: product.url, key: product.key })
  const models: Record<string, object> = {}
  let ratio = 0
  for (const name of named as (keyof typeof MODELS)[]) {
    const { sizes, rows } = MODELS[name]
    const measured = await measure(galley, name, sizes, rows)
    ratio ||= measured.ratio
    models[name] = measured
    process.stdout.write(`${name} ${JSON.stringify(measured)}\n`)
  }
  process.stdout.write(`${JSON.stringify({ bench: 'bulk', ratio, models })}\n`)
} finally {
  await product.stop()
  rmSync(folder, { recursive: true })
}

async function measure(galley: Galley, name: string, sizes: number[], rows: number) {
  const graph = mlp(1, sizes)
  const graphPath = join(folder, `${name}.onnx`)
  writeFileSync(graphPath, graph)
  const { tuning } = await galley.publish(name, { 'model.onnx': graph })
  const { threads = 1, batch_rows: batchRows = 256 } = tuning ?? {}
  const inputPath = join(folder, `${name}.jsonl`)
  const values = writeRows(inputPath, rows)
  const loop = await openLoop({ graphPath, values, features: FEATURES, rows, threads, batchRows })
  const rates: Rates = { galley: [], bare: [], script: [] }
  // The first round warms all three up.
  for (let round = -1; round < ROUNDS; round++) {
    const seen = await oneRound(galley, name, loop, inputPath, rows)
    if (round < 0) continue
    for (const side of ['galley', 'bare', 'script'] as const) rates[side].push(seen[side])
  }
  await loop.close()
  const against = (side: 'bare' | 'script') =>
    Number(median(rates.galley.map((rate, i) => rate / rates[side][i]!)).toFixed(3))
  return {
    rows,
    threads,
    batch_rows: batchRows,
    rows_per_s: Math.round(median(rates.galley)),
    bare_rows_per_s: Math.round(median(rates.bare)),
    script_rows_per_s: Math.round(median(rates.script)),
    ratio: against('bare'),
    vs_script: against('script'),
  }
}

async function oneRound(galley: Galley, model: string, loop: Loop, path: string, rows: number) {
  const job = await withFile(path, source =>
    galley.jobs.run({ model, format: 'jsonl', rows: source }),
  )
  const bare = await loop.bare()
  const script = await loop.script(path, join(folder, 'result.jsonl'))
  return { galley: rows / secondsOf(job), bare: rows / bare, script: rows / script }
}

function secondsOf(job: Job): number {
  if (job.rows_failed > 0) throw new Error(`${job.rows_failed} rows failed`)
  return (Date.parse(job.ended_at!) - Date.parse(job.started_at!)) / 1000
}

/** Rows from a stated formula, as lines of JSON, and the same as one array. */
function writeRows(path: string, rows: number): Float32Array {
  const values = new Float32Array(rows * FEATURES)
  const lines: string[] = []
  for (let row = 0; row < rows; row++) {
    const x: number[] = []
    for (let i = 0; i < FEATURES; i++) {
      const value = Number(Math.sin(row * 0.37 + i).toFixed(6))
      values[row * FEATURES + i] = value
      x.push(value)
    }
    lines.push(`{"x":[${x}]}\n`)
  }
  writeFileSync(path, lines.join(''))
  return values
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}
