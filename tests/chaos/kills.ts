/** Ways to die: a place by itself, the supervisor, everything at once, everything without its page cache. */
import { setTimeout as sleep } from 'node:timers/promises'
import { cutPower } from './power.ts'
import {
  endAll,
  type Place,
  type Process,
  placesOf,
  processesOf,
  signal,
  stillThere,
} from './processes.ts'
import type { Product } from './product.ts'

export type Kill = Place | 'supervisor' | 'everything' | 'power'
export const PLACES: Place[] = [
  'edge',
  'objects',
  'functions',
  'runner',
  'validator',
  'postgres',
  'engine',
]

/** A validator or an engine is there only while it has something to do. */
const APPEARS_MS = 15_000
/** What a killed place started must follow it within this. */
const FOLLOWS_MS = 5_000
const GONE_MS = 15_000

/** Kills one process of a place with -9. False: there was none. Throws if its children outlive it. */
export async function killPlace(
  product: Product,
  place: Place,
  choose = (all: Process[]): Process => all[0]!,
): Promise<boolean> {
  const there = await appearing(product, place)
  const victim = there && choose(there)
  if (!victim) return false
  const children = processesOf(victim.pid).slice(1)
  if (!signal(victim, 'SIGKILL')) return false
  await gone(children, FOLLOWS_MS, `what the ${place} had started`)
  return true
}

/** Kills the supervisor; its children have to end by themselves. */
export async function killSupervisor(product: Product): Promise<void> {
  const [supervisor] = processesOf(product.pid())
  signal(supervisor!, 'SIGKILL')
  await gone([supervisor!], GONE_MS, 'the supervisor')
}

export async function killEverything(product: Product): Promise<void> {
  const all = processesOf(product.pid())
  endAll(all)
  await gone(all, GONE_MS, 'what was killed')
}

/** Kills everything, then takes back what was not synced. Returns what was taken, and when it was cut. */
export async function failPower(product: Product) {
  const all = processesOf(product.pid())
  // They die one after another: the runner may be the first, and syncs nothing from here on.
  const cutAt = performance.now()
  endAll(all)
  await gone(all, GONE_MS, 'what was killed')
  return { cutAt, ...cutPower(product.journal, product.dataFolder) }
}

async function appearing(product: Product, place: Place): Promise<Process[] | undefined> {
  for (const until = performance.now() + APPEARS_MS; performance.now() < until; await sleep(20)) {
    const found = placesOf(product.pid(), place)
    if (found.length > 0) return found
  }
  return undefined
}

async function gone(processes: Process[], withinMs: number, what: string): Promise<void> {
  const until = performance.now() + withinMs
  for (; stillThere(processes).length > 0; await sleep(20)) {
    if (performance.now() < until) continue
    const names = stillThere(processes).map(({ command }) => command.slice(0, 120))
    throw new Error(`${what} still ran ${withinMs} ms later: ${names.join('; ')}`)
  }
}
