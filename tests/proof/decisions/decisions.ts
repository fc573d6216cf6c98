/**
 * The proof of decisions: many callers decide payments of one card at once, while the places are killed
 * and some payments also come as ordinary events. By seq, each decision must have seen exactly those before.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { openClient } from '../../chaos/client.ts'
import { killPlace } from '../../chaos/kills.ts'
import type { Place } from '../../chaos/processes.ts'
import { openProduct, type Product } from '../../chaos/product.ts'
import { type Random, randomOf } from '../../chaos/random.ts'
import { type Book, CALLERS, callAll } from './callers.ts'
import { PLANTED, type Planted, plant } from './planted.ts'
import { setScene } from './scene.ts'
import { judge } from './verdict.ts'

type Edge = 'node' | 'workerd'
/** In workerd the objects are in the edge's process. */
const PLACES: Record<Edge, Place[]> = {
  node: ['edge', 'objects', 'functions', 'runner'],
  workerd: ['edge', 'functions', 'runner'],
}
const KILLS_EACH = 2
const PAUSE_MS = [400, 1_200] as const
const SHOWN_MAX = 5
/** How long what must arrive may take; less where it is known not to. */
const SETTLE_MS = 90_000
const PLANTED_SETTLE_MS = 15_000
const PLANTED_DECISIONS = 300

export async function proveDecisions(o: {
  edge: string | undefined
  decisions: number
  seed: number
  planted: boolean
}): Promise<boolean> {
  const edges = (o.edge === undefined ? ['node', 'workerd'] : [o.edge]) as Edge[]
  const proofs: Awaited<ReturnType<typeof proveOn>>[] = []
  for (const edge of edges) proofs.push(await proveOn(edge, { ...o, settleMs: SETTLE_MS }))
  const sum = (name: 'decisions' | 'also_as_events' | 'asked_again' | 'kills' | Bad) =>
    proofs.reduce((total, proof) => total + proof[name], 0)
  const faults = Object.fromEntries(BAD.map(name => [name, sum(name)])) as Record<Bad, number>
  const planted = o.planted ? Object.entries(PLANTED) : []
  const caught: string[] = []
  for (const [name, fault] of planted) if (await sees(name, fault, o.seed)) caught.push(name)
  const line = {
    proof: 'decisions',
    edges,
    concurrent: CALLERS,
    decisions: sum('decisions'),
    also_as_events: sum('also_as_events'),
    asked_again: sum('asked_again'),
    kills: sum('kills'),
    ...faults,
    planted: planted.length,
    caught: caught.length,
    seed: o.seed,
  }
  print(JSON.stringify(line))
  return BAD.every(name => faults[name] === 0) && caught.length === planted.length
}

/** Whether the same proof sees a product with this fault. */
async function sees(name: string, fault: Planted, seed: number): Promise<boolean> {
  const copy = plant(fault)
  try {
    print(`planted: ${name}`)
    const { root } = copy
    const { places } = fault
    const o = { root, places, seed, decisions: PLANTED_DECISIONS, settleMs: PLANTED_SETTLE_MS }
    const found = await proveOn('node', o)
    const isSeen = found[fault.finds] > 0
    print(`${isSeen ? 'seen    ' : 'NOT SEEN'}  ${name}`)
    return isSeen
  } finally {
    copy.remove()
  }
}

const BAD = [
  'order_violations',
  'applied_twice',
  'lost',
  'answers_changed',
  'replays_otherwise',
  'refused',
] as const
type Bad = (typeof BAD)[number]

type Run = {
  root?: string
  places?: Place[]
  decisions: number
  seed: number
  settleMs: number
}

async function proveOn(edge: Edge, run: Run) {
  const { root, places = PLACES[edge], decisions, seed, settleMs } = run
  const product = await openProduct({ root, edge })
  const onInterrupt = () => {
    product.remove()
    process.exit(130)
  }
  process.once('SIGINT', onInterrupt).once('SIGTERM', onInterrupt)
  try {
    await product.start()
    const random = randomOf(seed)
    const client = openClient(product.url)
    const key = product.key
    await setScene(client, key)
    const book: Book = { told: [], alsoSent: 0, askedAgain: 0, changed: [], refused: [] }
    const began = performance.now()
    const killer = startKiller(product, places, random)
    const isEnough = () => killer.done()
    await callAll({ client, key, random, book, decisions, isEnough })
    const kills = await killer.kills
    const seconds = Math.round((performance.now() - began) / 100) / 10
    print(`${edge}: ${book.told.length} decisions in ${seconds} s, ${kills} kills`)
    const verdict = await judge({ client, key, book, settleMs })
    const { violations, twice, lost, otherwise } = verdict
    for (const says of [violations, book.changed, otherwise, book.refused]) {
      for (const line of says.slice(0, SHOWN_MAX)) print(`  ${line}`)
    }
    client.close()
    await product.stop()
    return {
      decisions: book.told.length,
      also_as_events: book.alsoSent,
      asked_again: book.askedAgain,
      kills,
      order_violations: violations.length,
      applied_twice: twice,
      lost,
      answers_changed: book.changed.length,
      replays_otherwise: otherwise.length,
      refused: book.refused.length,
    }
  } finally {
    process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt)
    product.remove()
  }
}

/** Kills each place a few times, in an order of chance, with pauses in which some work is done. */
function startKiller(product: Product, places: Place[], random: Random) {
  const order = random.shuffled(places.flatMap(place => Array(KILLS_EACH).fill(place) as Place[]))
  let isDone = false
  const kills = (async () => {
    let count = 0
    for (const place of order) {
      await sleep(random.int(...PAUSE_MS))
      if (await killPlace(product, place)) count++
    }
    await sleep(PAUSE_MS[1])
    return count
  })().finally(() => {
    isDone = true
  })
  kills.catch(() => {})
  return { kills, done: () => isDone }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
