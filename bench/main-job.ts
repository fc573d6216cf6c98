/**
 * `npm run demo`: the main job, through the public API alone. A newcomer's product is started, a model
 * published, asked 1,000 times, run over 100,000 rows in bulk, and the bill read to the row; every
 * answer is compared with a direct ONNX Runtime run.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import * as ort from 'onnxruntime-node'
import { Galley } from '#sdk/client.ts'
import { startProduct } from './product.ts'

const ONLINE = 1_000
const BULK_ROWS = 100_000
const CALLERS = 16
const FEATURES = 4
const MODEL = 'demo'
const PROJECT = 'demo'
const GRAPH = fileURLToPath(new URL('../examples/iris/iris.onnx', import.meta.url))
/** Rows of a batch may round differently from lone ones in the last bits. */
const TOLERANCE = 1e-6
const BILLED_WITHIN_MS = 30_000

type Row = { probabilities: number[]; species: string }

const phases: Record<string, number> = {}
const product = await phase('start', () => startProduct())
try {
  const direct = await ort.InferenceSession.create(GRAPH)
  const galley = await phase('publish', publish)
  const online = await phase('online', () => askOnline(galley, direct))
  const bulk = await phase('bulk', () => runBulk(galley, direct))
  const billed = await phase('billing', () => billedRows(galley, ONLINE + BULK_ROWS))
  const receipts = await receiptRows(galley)
  const mismatches = online.mismatches + bulk.mismatches
  const ok = mismatches === 0 && billed === ONLINE + BULK_ROWS && receipts === billed
  print({
    demo: 'main-job',
    ok,
    online: online.answered,
    bulk_rows: bulk.rows,
    billed_rows: billed,
    receipt_rows: receipts,
    mismatches,
    ms: phases,
  })
  if (!ok) process.exitCode = 1
} finally {
  await product.stop()
}

async function phase<T>(name: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now()
  const result = await work()
  phases[name] = Math.round(performance.now() - began)
  process.stdout.write(`${name.padEnd(8)} ${phases[name]} ms\n`)
  return result
}

/** A key with a project of its own pays for the demo, and the model is a new one. */
async function publish(): Promise<Galley> {
  const operator = new Galley({ baseUrl: product.url, key: product.key })
  const { key } = await operator.request('keys.create', {
    body: {
      name: 'demo',
      scopes: ['infer', 'models:write', 'files:write', 'jobs:write', 'jobs:read', 'usage:read'],
      project: PROJECT,
    },
  })
  const galley = new Galley({ baseUrl: product.url, key })
  await galley.publish(MODEL, { 'iris.onnx': readFileSync(GRAPH) })
  return galley
}

async function askOnline(galley: Galley, direct: ort.InferenceSession) {
  let next = 0
  let answered = 0
  let mismatches = 0
  const caller = async () => {
    for (let i = next++; i < ONLINE; i = next++) {
      const data = flower(i)
      const reply = await galley.infer(MODEL, {
        inputs: [{ name: 'measurements', shape: [1, FEATURES], datatype: 'FP32', data }],
      })
      const of = (name: string) => reply.outputs.find(output => output.name === name)!.data
      const given = { probabilities: of('probabilities'), species: of('species')[0] } as Row
      const [expected] = await runDirect(direct, [data])
      if (!same(given, expected!)) mismatches++
      answered++
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, caller))
  return { answered, mismatches }
}

async function runBulk(galley: Galley, direct: ort.InferenceSession) {
  const rows = Array.from({ length: BULK_ROWS }, (_, i) => flower(i))
  const lines = rows.map(measurements => `${JSON.stringify({ measurements })}\n`)
  const job = await galley.jobs.run({
    model: MODEL,
    format: 'jsonl',
    rows: new TextEncoder().encode(lines.join('')),
  })
  const chunks: Uint8Array[] = []
  for await (const chunk of galley.jobs.results(job.id)) chunks.push(chunk)
  const results = Buffer.concat(chunks).toString().trimEnd().split('\n')
  const expected = await runDirect(direct, rows)
  let mismatches = Math.abs(results.length - BULK_ROWS)
  for (const [i, line] of results.entries()) {
    const { index, outputs } = JSON.parse(line) as { index: number; outputs?: Row }
    if (index !== i || !outputs || !same(outputs, expected[i]!)) mismatches++
  }
  return { rows: results.length, mismatches }
}

/** The rows that the bill counts, once they are all there. */
async function billedRows(galley: Galley, expected: number): Promise<number> {
  const until = performance.now() + BILLED_WITHIN_MS
  for (;;) {
    const usage = await galley.request('usage.totals', { query: { group_by: 'project' } })
    const rows = usage.data.find(row => row.group.project === PROJECT)?.rows ?? 0
    if (rows >= expected || performance.now() > until) return rows
    await sleep(100)
  }
}

/** The same, counted receipt by receipt. */
async function receiptRows(galley: Galley): Promise<number> {
  let rows = 0
  for await (const receipt of galley.each('usage.receipts', { query: { limit: 1000 } })) {
    if (receipt.project === PROJECT) rows += receipt.rows
  }
  return rows
}

async function runDirect(session: ort.InferenceSession, rows: number[][]): Promise<Row[]> {
  const input = new ort.Tensor('float32', Float32Array.from(rows.flat()), [rows.length, FEATURES])
  const { probabilities, species } = await session.run({ measurements: input })
  const flat = probabilities!.data as Float32Array
  const classes = flat.length / rows.length
  return rows.map((_, i) => ({
    probabilities: [...flat.subarray(i * classes, (i + 1) * classes)],
    species: species!.data[i] as string,
  }))
}

function same(given: Row, expected: Row): boolean {
  return (
    given.species === expected.species &&
    given.probabilities.length === expected.probabilities.length &&
    given.probabilities.every((p, i) => Math.abs(p - expected.probabilities[i]!) <= TOLERANCE)
  )
}

/** Flowers that differ, from a stated formula. */
function flower(i: number): number[] {
  return [4.3 + (i % 37) / 10, 2 + (i % 25) / 10, 1 + (i % 60) / 10, 0.1 + (i % 25) / 10]
}

function print(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
