/**
 * What Galley costs beside the floor: the authenticated, metered path through all processes against a
 * bare server with the same codec, batcher and engine. One run, alternating, CPU time of every process
 * but the load generator's.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { mlp } from '#tests/models.ts'
import { closedLoad } from '../closed-load.ts'
import { cpuUs, pssBytes, treeOf } from '../processes.ts'
import { type Product, startProduct } from '../product.ts'

const ROUNDS = 5
const ROUND_MS = 4_000
const WARM_UP_MS = 3_000
const IDLE_MS = 10_000
const CALLERS = 64
const FEATURES = 30

const BODY = JSON.stringify({
  inputs: [
    {
      name: 'x',
      shape: [1, FEATURES],
      datatype: 'FP32',
      data: Array.from({ length: FEATURES }, (_, i) => Math.round(Math.sin(i) * 1e4) / 1e4),
    },
  ],
})

type Target = { name: string; port: number; path: string; key: string; rootPid: number }
type Round = { cpuUs: number; perS: number; p50: number; p99: number }

const scratch = mkdtempSync(join(tmpdir(), 'galley-overhead-'))
const graphPath = join(scratch, 'mlp.onnx')
writeFileSync(graphPath, mlp(7, [FEATURES, 64, 32, 1]))
const edges = process.argv.includes('--node-only')
  ? (['node'] as const)
  : (['node', 'workerd'] as const)

const products: Product[] = []
try {
  for (const edge of edges) products.push(await startProduct({ edge }))
  const idle = await idleOf(products[0]!)
  const signatures = []
  for (const product of products) signatures.push(await publish(product))
  const bare = await startBare(JSON.stringify(signatures[0]))
  const targets: Target[] = [
    { name: 'bare', port: bare.port, path: '/', key: '', rootPid: bare.pid },
    ...products.map((product, i) => ({
      name: edges[i]!,
      port: Number(new URL(product.url).port),
      path: '/v2/models/mlp/infer',
      key: product.key,
      rootPid: product.supervisor.pid!,
    })),
  ]
  const rounds = new Map<string, Round[]>(targets.map(target => [target.name, []]))
  for (const target of targets) await load(target, WARM_UP_MS)
  for (let round = 0; round < ROUNDS; round++) {
    for (const target of targets) rounds.get(target.name)!.push(await measured(target))
  }
  bare.end()
  report(rounds, products[0]!, idle)
} finally {
  for (const product of products) await product.stop()
  rmSync(scratch, { recursive: true, force: true })
}

async function measured(target: Target): Promise<Round> {
  const pids = treeOf(target.rootPid)
  const before = cpuUs(pids)
  const done = await load(target, ROUND_MS)
  // What the path puts off (shipping, the ledger) belongs to its cost.
  await sleep(1_000)
  const used = cpuUs(treeOf(target.rootPid)) - before
  return {
    cpuUs: used / done.requests,
    perS: done.requests / (ROUND_MS / 1000),
    p50: done.p50_ms,
    p99: done.p99_ms,
  }
}

function load({ port, path, key }: Target, ms: number) {
  return closedLoad({ port, path, key, body: BODY }, { callers: CALLERS, ms })
}

async function startBare(signature: string) {
  const entry = fileURLToPath(new URL('bare-server.ts', import.meta.url))
  const child = spawn(process.execPath, [entry, graphPath, signature], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [line] = await once(child.stdout, 'data')
  return {
    port: JSON.parse(String(line)).port as number,
    pid: child.pid!,
    end: () => child.stdin.end(),
  }
}

async function publish({ url, key }: Product) {
  const bytes = mlp(7, [FEATURES, 64, 32, 1])
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const size = bytes.length
  const send = async (method: string, path: string, body: unknown) => {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${key}` },
      body: body instanceof Uint8Array ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body),
    })
    const answer = (await response.json()) as Record<string, unknown>
    if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`)
    return answer
  }
  const upload = await send('POST', '/v1/uploads', { sha256, size })
  await send('PUT', `/v1/uploads/${upload.id}/parts/1`, bytes)
  await send('POST', `/v1/uploads/${upload.id}/complete`, {})
  const files = [{ path: 'mlp.onnx', sha256, size }]
  return (await send('POST', '/v1/registry/models/mlp/versions', { files })).signature
}

async function idleOf(product: Product) {
  await sleep(2_000)
  const before = cpuUs(treeOf(product.supervisor.pid!))
  await sleep(IDLE_MS)
  const pids = treeOf(product.supervisor.pid!)
  return {
    cpuPercent: ((cpuUs(pids) - before) / (IDLE_MS * 1000)) * 100,
    pssMb: pssBytes(pids) / 1024 ** 2,
  }
}

function report(
  rounds: Map<string, Round[]>,
  product: Product,
  idle: { cpuPercent: number; pssMb: number },
) {
  const of = (name: string, field: keyof Round) => {
    const all = rounds.get(name)
    return all ? median(all.map(round => round[field])) : null
  }
  const ratio = (name: string, field: keyof Round) => {
    const ratios = rounds
      .get(name)
      ?.map((round, i) => round[field] / rounds.get('bare')![i]![field])
    return ratios ? rounded(median(ratios)) : null
  }
  for (const name of rounds.keys()) {
    process.stdout.write(
      `${name.padEnd(8)} ${rounded(of(name, 'cpuUs')!)} µs CPU/request · ${Math.round(of(name, 'perS')!)} requests/s · p50 ${of(name, 'p50')} ms · p99 ${of(name, 'p99')} ms\n`,
    )
  }
  process.stdout.write(
    `${JSON.stringify({
      bench: 'overhead',
      cpu_vs_bare: ratio('node', 'cpuUs'),
      cpu_vs_bare_workerd: ratio('workerd', 'cpuUs'),
      throughput_vs_bare: ratio('node', 'perS'),
      throughput_vs_bare_workerd: ratio('workerd', 'perS'),
      cpu_us: Object.fromEntries(
        [...rounds.keys()].map(name => [name, rounded(of(name, 'cpuUs')!)]),
      ),
      start_ms: product.startMs,
      pss_mb: Math.round(idle.pssMb),
      idle_cpu_percent: rounded(idle.cpuPercent),
      callers: CALLERS,
      rounds: ROUNDS,
    })}\n`,
  )
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100
}
