/** The runners of a product: which process is which, what each holds, and how each that left ended. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { query } from '../database.ts'
import { type Process, placesOf, stillThere } from '../processes.ts'
import type { Product } from '../product.ts'

export type Runner = Process & { name: string }
type Line = Record<string, unknown> & { event: string }

const POLL_MS = 20
const RUNNER_LOG = /^runner(-\d+)?\.log/

/** Those that run now. */
export function runnersOf(product: Product): Runner[] {
  return placesOf(product.pid(), 'runner').flatMap(process => {
    const name = nameOf(process.pid)
    return name === null ? [] : [{ ...process, name }]
  })
}

function nameOf(pid: number): string | null {
  try {
    const env = readFileSync(`/proc/${pid}/environ`, 'utf8')
    return /(?:^|\0)GALLEY_RUNNER=([^\0]+)/.exec(env)?.[1] ?? null
  } catch {
    return null
  }
}

/** Waits for one of them to be gone; null: all are still there. */
export async function firstGone(runners: Runner[], withinMs: number): Promise<Runner | null> {
  const until = performance.now() + withinMs
  for (;;) {
    const there = new Set(stillThere(runners).map(({ pid }) => pid))
    const gone = runners.find(({ pid }) => !there.has(pid))
    if (gone) return gone
    if (performance.now() > until) return null
    await sleep(POLL_MS)
  }
}

/** How the supervisor saw it end; null: it has not said so within the time. */
export async function endingOf(product: Product, { pid }: Runner, withinMs: number) {
  const until = performance.now() + withinMs
  for (;;) {
    const found = linesOf(product, 'supervisor').find(
      line => line.event === 'child exited' && line.pid === pid,
    )
    if (found) return found.exit as { code: number | null; signal: string | null }
    if (performance.now() > until) return null
    await sleep(POLL_MS)
  }
}

export type Lease = { runner: string; id: string; epoch: number }
export const leaseName = ({ id, epoch }: Omit<Lease, 'runner'>) => `${id}/${epoch}`

/** Leases of shards that stand now. One of a runner that died stands until it runs out. */
export function leasedShards(product: Product): Promise<Lease[]> {
  return query<Lease>(
    product.dataFolder,
    `select runner, id, epoch from steps where kind = 'shard' and state = 'leased'`,
  )
}

/** Of all shards: how many there are, and leases that ended without a word. */
export async function shardCounts(product: Product): Promise<{ shards: number; losses: number }> {
  const [row] = await query<{ shards: number; losses: number }>(
    product.dataFolder,
    `select count(*)::int as shards, coalesce(sum(losses), 0)::int as losses
     from steps where kind = 'shard'`,
  )
  return row!
}

/** Leases whose work has begun, as the runners say before the first row. */
export function begunLeases(product: Product): Set<string> {
  const begun = runnerLines(product).filter(({ event }) => event === 'runner.step_begun')
  return new Set(
    begun.map(({ step, epoch }) => leaseName({ id: String(step), epoch: Number(epoch) })),
  )
}

/** How the leases of shards ended, as the runners say: by outcome. */
export function shardOutcomes(product: Product): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { event, kind, outcome } of runnerLines(product)) {
    if (event !== 'runner.step' || kind !== 'shard') continue
    counts.set(String(outcome), (counts.get(String(outcome)) ?? 0) + 1)
  }
  return counts
}

const runnerLines = (product: Product) => runnerLogs(product).flatMap(file => linesIn(file))

/** What each runner logged last, for a fault that is told. */
export function lastWords(product: Product): string {
  return runnerLogs(product)
    .map(file => {
      const lines = linesIn(file).slice(-3)
      return `${basename(file)}: ${lines.map(line => JSON.stringify(line)).join(' ')}`
    })
    .join('; ')
}

function runnerLogs({ dataFolder }: Product): string[] {
  const folder = join(dataFolder, 'log')
  return readdirSync(folder)
    .filter(file => RUNNER_LOG.test(file))
    .map(file => join(folder, file))
}

function linesOf(product: Product, place: string): Line[] {
  return linesIn(join(product.dataFolder, 'log', `${place}.log`))
}

function linesIn(path: string): Line[] {
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap(text => {
      try {
        return [JSON.parse(text) as Line]
      } catch {
        // The last one may not be whole yet.
        return []
      }
    })
}
