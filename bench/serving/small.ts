/**
 * A small model beside the peers: in every round each of them is started, answers the same, is warmed up,
 * and is asked by 64 callers who wait for their answers, then by one who comes at a rate far from its limit.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { closedLoad, oneCaller } from '../closed-load.ts'
import { cpuUs, treeOf } from '../processes.ts'
import type { Contender, Running } from './contenders.ts'
import { directly, rowOf } from './models.ts'

const CALLERS = 64
const ONE_CALLER_PER_S = 100
/** Relative: rows of a batch may be summed in another order than lone ones. */
const TOLERANCE = 1e-5
const CHECKED_ROWS = 256
/** What the path puts off (shipping, the ledger) belongs to its cost. */
const AFTER_MS = 1_000

export type Effort = { rounds: number; ms: number; warmUpMs: number }
export type Round = { perS: number; cpuUs: number; p99Loaded: number; p50: number; p99: number }
export type Rounds = Map<string, Round[]>

export async function measureSmall(
  contenders: readonly Contender[],
  graphPath: string,
  { rounds, ms, warmUpMs }: Effort,
  /** Gets the peers that do not start, and why. */
  absent: Record<string, string>,
  say: (line: string) => void,
): Promise<Rounds> {
  const measured: Rounds = new Map(contenders.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const contender of contenders) {
      if (!measured.has(contender.name)) continue
      const running = await startOf(contender, graphPath)
      if ('reason' in running) {
        say(running.reason)
        absent[contender.name] = running.reason.split('\n')[0]!
        measured.delete(contender.name)
        continue
      }
      try {
        await mustAnswerAlike(contender.name, running, graphPath)
        const target = { ...targetOf(running), body: running.body(rowOf(1)) }
        await closedLoad(target, { callers: CALLERS, ms: warmUpMs })
        const loaded = await withCpu(running, () => closedLoad(target, { callers: CALLERS, ms }))
        await sleep(AFTER_MS)
        const alone = await oneCaller(target, { perS: ONE_CALLER_PER_S, ms: ms * 2 })
        const result = {
          perS: loaded.requests / (ms / 1_000),
          cpuUs: loaded.cpuUs / loaded.requests,
          p99Loaded: loaded.p99_ms,
          p50: alone.p50_ms,
          p99: alone.p99_ms,
        }
        measured.get(contender.name)!.push(result)
        say(`${contender.name.padEnd(9)} ${textOf(result)}`)
      } finally {
        await running.stop()
      }
    }
  }
  return measured
}

/** A peer that does not run on this machine is left out; ours must run. */
async function startOf(contender: Contender, graphPath: string) {
  try {
    return await contender.start(graphPath)
  } catch (error) {
    if (!contender.isPeer) throw error
    return { reason: (error as Error).message }
  }
}

function textOf({ perS, cpuUs, p99Loaded, p50, p99 }: Round): string {
  return `${Math.round(perS)}/s at ${CALLERS} callers (p99 ${p99Loaded} ms) · ${Math.round(cpuUs)} µs CPU a request · one caller p50 ${p50} p99 ${p99} ms`
}

async function withCpu<T>(running: Running, work: () => Promise<T>) {
  const before = cpuUs(treeOf(running.pid))
  const done = await work()
  await sleep(AFTER_MS)
  return { ...done, cpuUs: cpuUs(treeOf(running.pid)) - before }
}

function targetOf({ port, path, key }: Running) {
  return { port, path, key }
}

/** Asked all at once, so that they meet in batches: each row must have its own answer. */
async function mustAnswerAlike(name: string, running: Running, graphPath: string): Promise<void> {
  const rows = Array.from({ length: CHECKED_ROWS }, (_, i) => rowOf(i))
  const expected = await directly(graphPath, rows)
  const url = `http://127.0.0.1:${running.port}${running.path}`
  const headers = { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' }
  await Promise.all(
    rows.map(async (row, i) => {
      const reply = await fetch(url, { method: 'POST', headers, body: running.body(row) })
      const text = await reply.text()
      if (!reply.ok) throw new Error(`${name}: ${reply.status} ${text.slice(0, 300)}`)
      const [given, wanted] = [running.value(text), expected[i]!]
      if (Math.abs(given - wanted) <= TOLERANCE * Math.max(1, Math.abs(wanted))) return
      throw new Error(`${name} answers ${given} for row ${i}, and the runtime itself ${wanted}`)
    }),
  )
}
