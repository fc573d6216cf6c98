/**
 * A runner that comes back from the dead: stopped in the middle of a shard until another one has its
 * lease, then continued. What it still does must change nothing.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRunner } from '../second-runner.ts'
import type { Key } from './book.ts'
import { type HeldStep, holderOf } from './database.ts'
import { type Process, placesOf, signal } from './processes.ts'
import type { Product } from './product.ts'
import { createJob, uploadRows, type WorkloadDeps } from './workload.ts'

/** One shard of a few seconds. */
const ROWS = 4_990
const LEASED_WITHIN_MS = 60_000
const WORKING_MS = 1_200
const SENT_MS = 300
/** Leases of 15 s, and a message that is hidden for as long. */
const TAKEN_OVER_WITHIN_MS = 60_000
/** Well within the successor's own lease. */
const ALONE_MS = 7_000
const SECOND = 'runner-1'

export async function haunt(product: Product, deps: WorkloadDeps): Promise<void> {
  const second = await startRunner(placesOf(product.pid(), 'runner')[0]!.pid, SECOND)
  try {
    const key = deps.random.pick(deps.random.pick(deps.tenants).keys)
    const { id, first, zombie } = await stoppedAtWork(product, deps, key, second)
    try {
      await until(TAKEN_OVER_WITHIN_MS, 'nobody took the step over', async () => {
        const now = await holderOf(product.dataFolder, id)
        return now && now.epoch > first.epoch && now.runner !== first.runner
      })
      await returns(product, zombie, runnerNamed(product, second, other(first.runner)), id)
    } finally {
      signal(zombie, 'SIGCONT')
    }
    await until(TAKEN_OVER_WITHIN_MS, 'the step did not end', async () => {
      return (await holderOf(product.dataFolder, id)) === null
    })
  } finally {
    second.kill('SIGTERM')
    if (second.exitCode === null) await once(second, 'exit')
  }
}

/** It has the machine to itself for a while, so that it is done before its successor if it may be. */
async function returns(product: Product, zombie: Process, successor: Process, runId: string) {
  signal(successor, 'SIGSTOP')
  try {
    signal(zombie, 'SIGCONT')
    const isOver = async () => (await holderOf(product.dataFolder, runId)) === null
    await until(ALONE_MS, '', isOver).catch(() => {})
  } finally {
    signal(successor, 'SIGCONT')
  }
}

const other = (runner: string) => (runner === SECOND ? 'runner-0' : SECOND)

/** How long a shard takes depends on the machine: a runner that was done when it stopped is let go on. */
async function stoppedAtWork(
  product: Product,
  deps: WorkloadDeps,
  key: Key,
  second: ChildProcess,
): Promise<{ id: string; first: HeldStep; zombie: Process }> {
  for (let workingMs = WORKING_MS; workingMs > WORKING_MS / 20; workingMs /= 2) {
    const { id, holder: first } = await shardUnderWay(product, deps, key)
    await sleep(workingMs)
    const zombie = runnerNamed(product, second, first.runner)
    signal(zombie, 'SIGSTOP')
    // What it had sent before may still be on its way.
    await sleep(SENT_MS)
    const now = await holderOf(product.dataFolder, id)
    if (now?.epoch === first.epoch) return { id, first, zombie }
    signal(zombie, 'SIGCONT')
  }
  throw new Error('no runner could be stopped in the middle of a shard')
}

async function shardUnderWay(product: Product, deps: WorkloadDeps, key: Key) {
  const file = await uploadRows(deps, key, ROWS, 1)
  const { id } = await createJob(deps, key, file)
  let holder: HeldStep | null = null
  await until(LEASED_WITHIN_MS, 'the shard was not begun', async () => {
    holder = await holderOf(product.dataFolder, id)
    return holder
  })
  return { id, holder: holder! as HeldStep }
}

function runnerNamed(product: Product, second: ChildProcess, name: string): Process {
  const first = placesOf(product.pid(), 'runner')[0]!
  return name === SECOND ? processOf(second.pid!) : first
}

function processOf(pid: number): Process {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const startedAt = text.slice(text.lastIndexOf(')') + 2).split(' ')[19]!
  return { pid, startedAt, command: 'runner' }
}

async function until(withinMs: number, failure: string, condition: () => Promise<unknown>) {
  const end = performance.now() + withinMs
  // The database may be away for a moment: that is no answer yet.
  while (!(await condition().catch(() => false))) {
    if (performance.now() > end) throw new Error(`${failure} within ${withinMs} ms`)
    await sleep(50)
  }
}
