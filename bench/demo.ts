/**
 * `npm run demo`: the main job, through the public API alone. A newcomer's product is started, a model
 * published, asked 1,000 times, run over 100,000 rows in bulk, and the bill read to the row; every
 * answer is compared with a direct ONNX Runtime run.
 */
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import * as ort from 'onnxruntime-node'
import { type Product, startProduct } from './product.ts'

const ONLINE = 1_000
const BULK_ROWS = 100_000
const CALLERS = 16
const FEATURES = 4
const GRAPH = fileURLToPath(new URL('../examples/iris/iris.onnx', import.meta.url))
/** Shares of a batch may round differently from a lone row in the last bits; the model is no larger. */
const TOLERANCE = 1e-6
const BILLED_WITHIN_MS = 30_000

type Reply = Record<string, never>
type Row = { probabilities: number[]; species: string }

const phases: Record<string, number> = {}
const product = await phase('start', () => startProduct())
try {
  const direct = await ort.InferenceSession.create(GRAPH)
  const { model, key } = await phase('publish', () => publish(product))
  const online = await phase('online', () => askOnline(product, key, model, direct))
  const bulk = await phase('bulk', () => runBulk(product, key, model, direct))
  const usage = await phase('billing', () => billed(product, key, ONLINE + BULK_ROWS))
  const receipts = await receiptRows(product, key)
  const ok =
    online.mismatches + bulk.mismatches === 0 &&
    usage.rows === ONLINE + BULK_ROWS &&
    receipts === usage.rows
  print({
    demo: 'main-job',
    ok,
    online: online.answered,
    bulk_rows: bulk.rows,
    billed_rows: usage.rows,
    receipt_rows: receipts,
    mismatches: online.mismatches + bulk.mismatches,
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
async function publish(product: Product) {
  const created = await call(product, product.key, 'POST', '/v1/keys', {
    name: 'demo',
    scopes: ['infer', 'models:write', 'models:read', 'files:write', 'jobs:write', 'jobs:read', 'usage:read'],
    project: 'demo',
  })
  const key = created.key as string
  const file = await upload(product, key, readFileSync(GRAPH))
  await call(product, key, 'POST', '/v1/registry/models/demo/versions', {
    files: [{ path: 'iris.onnx', ...file }],
  })
  return { model: 'demo', key }
}

async function askOnline(
  product: Product,
  key: string,
  model: string,
  direct: ort.InferenceSession,
) {
  let next = 0
  let mismatches = 0
  const caller = async () => {
    for (let i = next++; i < ONLINE; i = next++) {
      const data = flower(i)
      const reply = await call(product, key, 'POST', `/v2/models/${model}/infer`, {
        inputs: [{ name: 'measurements', shape: [1, FEATURES], datatype: 'FP32', data }],
      })
      const outputs = Object.fromEntries(
        (reply.outputs as { name: string; data: never[] }[]).map(output => [output.name, output.data]),
      )
      const expected = (await runDirect(direct, [data]))[0]!
      const given = { probabilities: outputs.probabilities!, species: outputs.species![0]! }
      if (!same(given, expected)) mismatches++
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, caller))
  return { answered: Math.min(next, ONLINE), mismatches }
}

async function runBulk(
  product: Product,
  key: string,
  model: string,
  direct: ort.InferenceSession,
) {
  const rows = Array.from({ length: BULK_ROWS }, (_, i) => flower(i))
  const lines = rows.map(measurements => JSON.stringify({ measurements }))
  const file = await upload(product, key, Buffer.from(`${lines.join('\n')}\n`))
  let job = await call(product, key, 'POST', '/v1/jobs', {
    model,
    input: { sha256: file.sha256, format: 'jsonl' },
  })
  while (['queued', 'running'].includes(job.state as string)) {
    await sleep(200)
    job = await call(product, key, 'GET', `/v1/jobs/${job.id as string}`)
  }
  if (job.state !== 'done') throw new Error(`The job ended ${job.state}: ${JSON.stringify(job.error)}`)
  const response = await fetch(`${product.url}/v1/jobs/${job.id as string}/results`, {
    headers: { authorization: `Bearer ${key}` },
  })
  const results = (await response.text()).trimEnd().split('\n')
  const expected = await runDirect(direct, rows)
  let mismatches = Math.abs(results.length - BULK_ROWS)
  for (const [i, line] of results.entries()) {
    const { index, outputs } = JSON.parse(line) as { index: number; outputs?: Row }
    if (index !== i || !outputs || !same(outputs, expected[i]!)) mismatches++
  }
  return { rows: results.length, mismatches }
}

/** The rows that the bill counts, once they are all there. */
async function billed(product: Product, key: string, rows: number) {
  const until = performance.now() + BILLED_WITHIN_MS
  for (;;) {
    const usage = await call(product, key, 'GET', '/v1/usage?group_by=project,model')
    const own = (usage.data as { group: { project: string }; rows: number }[]).filter(
      row => row.group.project === 'demo',
    )
    const sum = own.reduce((total, row) => total + row.rows, 0)
    if (sum >= rows || performance.now() > until) return { rows: sum }
    await sleep(100)
  }
}

/** The same, counted receipt by receipt. */
async function receiptRows(product: Product, key: string): Promise<number> {
  let rows = 0
  let cursor: string | null = ''
  while (cursor !== null) {
    const page: Reply = await call(
      product, key, 'GET', `/v1/receipts?limit=1000${cursor && `&cursor=${cursor}`}`,
    )
    for (const receipt of page.data as { project: string; rows: number }[]) {
      if (receipt.project === 'demo') rows += receipt.rows
    }
    cursor = page.next_cursor
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

async function upload(product: Product, key: string, bytes: Uint8Array) {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const file = { sha256, size: bytes.length }
  const begun = await call(product, key, 'POST', '/v1/uploads', file)
  if (begun.state === 'open') {
    await call(product, key, 'PUT', `/v1/uploads/${begun.id as string}/parts/1`, bytes)
    await call(product, key, 'POST', `/v1/uploads/${begun.id as string}/complete`, {})
  }
  return file
}

async function call(
  product: Product,
  key: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Reply> {
  const response = await fetch(product.url + path, {
    method,
    headers: { authorization: `Bearer ${key}` },
    body:
      body === undefined || body instanceof Uint8Array
        ? (body as Uint8Array<ArrayBuffer> | undefined)
        : JSON.stringify(body),
  })
  const answer = (await response.json()) as Reply
  if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`)
  return answer
}

function print(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
