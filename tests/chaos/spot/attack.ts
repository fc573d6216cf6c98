/** A product of its own on spot machines: they are taken back with a notice, and without one. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type MetadataServer, startMetadataServer } from '../../metadata-server.ts'
import { type Book, emptyBook } from '../book.ts'
import { openChecker, type Verdict } from '../checker.ts'
import { openClient } from '../client.ts'
import { signal } from '../processes.ts'
import { openProduct, type Product } from '../product.ts'
import { type Random, randomOf } from '../random.ts'
import { makeTenants } from '../tenants.ts'
import type { WorkloadDeps } from '../workload.ts'
import { repeats, startLoad } from './load.ts'
import {
  begunLeases,
  endingOf,
  firstGone,
  lastWords,
  leasedShards,
  leaseName,
  type Runner,
  runnersOf,
  shardCounts,
  shardOutcomes,
} from './runners.ts'

export const RUNNERS = 3
/** As the cloud gives it. */
const NOTICE_MS = 120_000
/** As the stacks give it: a shard has a quarter of it, and beside others on two cores needs more than at home. */
const STOP_S = '110'
const PAUSE_MS = [100, 900] as const
/** A runner that left or was killed is started again within this. */
const BACK_MS_MAX = 60_000
/** What a runner has of the supervisor, and then some. */
const LEAVES_MS_MAX = 60_000
/** What had been asked when a runner was stopped is written by then. */
const SETTLED_MS = 150
const REPEATED = 2
/** For every runner to have a shard before one of them hears a notice: one without loses nothing. */
const AT_WORK_MS_MAX = 10_000
const LOOK_MS = 50
/** Runners without a shard that are let go on, in the search for one that has work to lose. */
const IDLE_MAX = 20

export type Attack = {
  root?: string
  edge: 'node' | 'workerd'
  notices: number
  kills: number
  seed: number
  keep: boolean
  /** How long callers and checks wait for what does not come. */
  patienceMs?: number
  print(line: string): void
}
export type Found = {
  verdict: Verdict
  book: Book
  notices: number
  /** Notices to a runner that held at least one shard just then. */
  noticesAtWork: number
  kills: number
  /** Kills of a runner that held at least one shard. */
  killsAtWork: number
  shards: number
  /** Leases of shards that each killed runner held, which another had to take again. */
  leasesLost: string[][]
  /** Those of them that it had begun: what was done of each was done again. */
  reworkAfterKill: number
  /** Of any one kill. */
  reworkMost: number
  /** Shards that a runner with a notice had begun and did not end. */
  reworkAfterNotice: number
  /** Files that gave the same results again without faults. */
  repeated: number
  faults: string[]
}

export async function attack(o: Attack): Promise<Found> {
  const metadata = await startMetadataServer()
  const env = { AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url, GALLEY_STOP_S: STOP_S }
  const product = await openProduct({ ...o, runners: RUNNERS, env })
  const onInterrupt = () => {
    product.remove()
    process.exit(130)
  }
  process.once('SIGINT', onInterrupt).once('SIGTERM', onInterrupt)
  try {
    await product.start()
    const found = await underLoad(product, metadata, o)
    await product.stop()
    return found
  } finally {
    process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt)
    product.remove()
    metadata.close()
  }
}

async function underLoad(product: Product, metadata: MetadataServer, o: Attack): Promise<Found> {
  const random = randomOf(o.seed)
  const client = openClient(product.url, o.patienceMs)
  const book = emptyBook()
  const tenants = await makeTenants(client, product.key, book)
  const deps: WorkloadDeps = { client, book, tenants, random }
  const checker = openChecker(client, book, tenants, o.patienceMs)
  const found: Found = {
    verdict: undefined as unknown as Verdict,
    book,
    notices: 0,
    noticesAtWork: 0,
    kills: 0,
    killsAtWork: 0,
    shards: 0,
    leasesLost: [],
    reworkAfterKill: 0,
    reworkMost: 0,
    reworkAfterNotice: 0,
    repeated: 0,
    faults: [],
  }
  const load = startLoad(deps)
  const taken = random.shuffled([
    ...Array<'notice'>(o.notices).fill('notice'),
    ...Array<'kill'>(o.kills).fill('kill'),
  ])
  try {
    const taking = { product, metadata, random, found, counted: new Set<string>(), print: o.print }
    for (const how of taken) await takeOne(how, taking)
  } catch (error) {
    found.faults.push(String(error))
  }
  await load.stop()
  found.verdict = await checker.check({ all: true })
  await countRework(product, found)
  for (const job of book.jobs.slice(0, REPEATED)) {
    if (await repeats(deps, job)) found.repeated++
    else found.faults.push(`the file of ${job.id} gives other results without faults`)
  }
  client.close()
  return found
}

type Taking = {
  product: Product
  metadata: MetadataServer
  random: Random
  found: Found
  /** Leases that ended with a killed runner. */
  counted: Set<string>
  print(line: string): void
}

async function takeOne(how: 'notice' | 'kill', taking: Taking): Promise<void> {
  const { product, random, found, print } = taking
  const runners = await allThere(product)
  await sleep(random.int(...PAUSE_MS))
  const began = performance.now()
  const said = how === 'notice' ? await notice(taking, runners) : await kill(taking, runners)
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  print(
    `${how.padEnd(7)} ${String(found.notices + found.kills).padStart(3)}  ${seconds} s  ${said}`,
  )
}

/** One of the runners hears that its machine goes, and must be gone by itself, with 0. */
async function notice(taking: Taking, runners: Runner[]): Promise<string> {
  const { product, metadata, found } = taking
  const until = performance.now() + AT_WORK_MS_MAX
  while (performance.now() < until) {
    const held = await Promise.all(runners.map(runner => heldBy(taking, runner)))
    if (held.every(leases => leases.length > 0)) break
    await sleep(LOOK_MS)
  }
  await metadata.noticeToOne(Date.now() + NOTICE_MS)
  const atWork = await Promise.all(runners.map(runner => heldBy(taking, runner)))
  const gone = await firstGone(runners, LEAVES_MS_MAX)
  if (!gone) throw new Error(`a runner that had a notice did not leave: ${lastWords(product)}`)
  const ending = await endingOf(product, gone, LEAVES_MS_MAX)
  found.notices++
  const held = atWork[runners.indexOf(gone)]!.length
  if (held > 0) found.noticesAtWork++
  if (ending?.code !== 0) {
    found.faults.push(`${gone.name} left with ${JSON.stringify(ending)} after a notice`)
  }
  return `${gone.name} with ${held} shards`
}

/** What it holds is counted while it cannot move: nothing begins or ends between the count and its death. */
async function kill(taking: Taking, runners: Runner[]): Promise<string> {
  const { random, found, counted } = taking
  let victim: Runner
  let held: string[]
  for (let tries = 1; ; tries++) {
    victim = random.pick(runners)
    signal(victim, 'SIGSTOP')
    await sleep(SETTLED_MS)
    held = await heldBy(taking, victim)
    if (held.length > 0 || tries === IDLE_MAX) break
    signal(victim, 'SIGCONT')
    await sleep(SETTLED_MS)
  }
  if (!signal(victim, 'SIGKILL')) throw new Error(`${victim.name} was gone before it was killed`)
  if (!(await firstGone([victim], LEAVES_MS_MAX))) throw new Error(`${victim.name} does not die`)
  found.kills++
  for (const lease of held) counted.add(lease)
  if (held.length > 0) found.killsAtWork++
  found.leasesLost.push(held)
  return `${victim.name} with ${held.length} shards`
}

/** The leases of a runner, less those that a killed one of its name has left. */
async function heldBy({ product, counted }: Taking, { name }: Runner): Promise<string[]> {
  const leases = (await leasedShards(product)).filter(({ runner }) => runner === name)
  return leases.map(leaseName).filter(lease => !counted.has(lease))
}

async function allThere(product: Product): Promise<Runner[]> {
  const until = performance.now() + BACK_MS_MAX
  for (;;) {
    const runners = runnersOf(product)
    if (runners.length === RUNNERS) return runners
    if (performance.now() > until) throw new Error(`only ${runners.length} runners came back`)
    await sleep(50)
  }
}

/**
 * A shard that a killed runner had begun is done again. Every lease that ended without a word was a killed
 * runner's; what is more is a noticed one's.
 */
async function countRework(product: Product, found: Found): Promise<void> {
  const { shards, losses } = await shardCounts(product)
  const outcomes = shardOutcomes(product)
  const begun = begunLeases(product)
  const again = found.leasesLost.map(held => held.filter(lease => begun.has(lease)).length)
  found.shards = shards
  found.reworkAfterKill = again.reduce((sum, shards) => sum + shards, 0)
  found.reworkMost = Math.max(0, ...again)
  const unexplained = Math.max(0, losses - found.leasesLost.flat().length)
  found.reworkAfterNotice = (outcomes.get('preempted') ?? 0) + unexplained
}
