/** A product of its own under switches and kills, and what its callers saw. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, openClient } from '../client.ts'
import { killPlace } from '../kills.ts'
import { placesOf } from '../processes.ts'
import { openProduct, type Product } from '../product.ts'
import { type Random, randomOf } from '../random.ts'
import { type Asking, askOnce, type Book, emptyBook, startCallers } from './callers.ts'
import { checkLog, flip, flipToLost, rollBack, tryOut } from './moves.ts'
import { publishLost, publishVersions } from './versions.ts'

export const RUNNERS = 2
const VERSIONS = 3
const PAUSE_MS = [40, 160] as const
const KILL_EVERY_MS = [700, 1_500] as const

export type Attack = {
  root?: string
  edge: 'node' | 'workerd'
  switches: number
  seed: number
  keep: boolean
  /** How long the switcher waits for what does not come. */
  patienceMs?: number
}
export type Found = {
  book: Book
  switches: number
  /** Of them: flips to the version that cannot be loaded, and ways back. */
  refused: number
  rollbacks: number
  /** Versions that were tried as a canary first. */
  canaries: number
  kills: number
  faults: string[]
}

export function isClean({ book, faults }: Found): boolean {
  return book.dropped === 0 && book.mixed === 0 && faults.length === 0 && book.byVersion.size > 1
}

export async function attack(o: Attack): Promise<Found> {
  const product = await openProduct({ ...o, runners: RUNNERS })
  const onInterrupt = () => {
    product.remove()
    process.exit(130)
  }
  process.once('SIGINT', onInterrupt).once('SIGTERM', onInterrupt)
  try {
    await product.start()
    const client = openClient(product.url, o.patienceMs)
    const found = await underLoad(product, client, o)
    client.close()
    await product.stop()
    return found
  } finally {
    process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt)
    product.remove()
  }
}

async function underLoad(product: Product, client: Client, o: Attack): Promise<Found> {
  const random = randomOf(o.seed)
  const { key, dataFolder } = product
  const versions = await publishVersions(client, key, VERSIONS)
  const lost = await publishLost(client, key, dataFolder)
  const book = emptyBook()
  const asking: Asking = { client, key, versions, book }
  const found: Found = {
    book,
    switches: 0,
    refused: 0,
    rollbacks: 0,
    canaries: 0,
    kills: 0,
    faults: [],
  }
  let serving = await flip(asking, versions[0]!)
  serving = await flip(asking, versions[1]!)
  const callers = startCallers(asking, random)
  const killing = startKilling(product, random, found)
  const switching = async () => {
    while (found.switches < o.switches) await oneSwitch()
  }
  const oneSwitch = async () => {
    await sleep(random.int(...PAUSE_MS))
    const kind = random.int(1, 10)
    if (kind === 1) await flipToLost(asking, lost, found)
    else if (kind === 2) serving = await rollBack(asking, serving, found)
    else {
      const other = random.pick(versions.filter(one => one !== serving))
      if (kind > 3) serving = await flip(asking, other)
      else {
        serving = await tryOut(asking, serving, other, random.int(0, 1) === 1)
        found.canaries++
      }
    }
    found.switches++
    const answered = await askOnce(asking)
    if (answered && answered !== serving) {
      found.faults.push(`${serving.number} serves, and ${answered.number} answered`)
    }
  }
  // One that is never answered is a fault of the product, and what was seen until then counts.
  await switching().catch(error => found.faults.push(String(error)))
  await killing.stop()
  await callers.stop()
  await checkLog(asking, found).catch(error => found.faults.push(String(error)))
  return found
}

/** One of the runners dies whenever all are there. */
function startKilling(product: Product, random: Random, found: Found) {
  const stopping = new AbortController()
  const { signal } = stopping
  const loop = (async () => {
    while (!signal.aborted) {
      await sleep(random.int(...KILL_EVERY_MS), undefined, { signal }).catch(() => {})
      if (signal.aborted || placesOf(product.pid(), 'runner').length < RUNNERS) continue
      if (await killPlace(product, 'runner', all => random.pick(all))) found.kills++
    }
  })()
  return {
    async stop() {
      stopping.abort()
      await loop
    },
  }
}
