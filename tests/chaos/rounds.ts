/** Rounds: what dies in each of them, in an order that the seed decides, and how one of them goes. */
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Book, Tenant } from './book.ts'
import type { Checker } from './checker.ts'
import type { Client } from './client.ts'
import { staleResults } from './database.ts'
import { failPower, type Kill, killEverything, killPlace, killSupervisor } from './kills.ts'
import type { Taken } from './power.ts'
import { forgetJournal } from './power.ts'
import type { Place } from './processes.ts'
import type { Product } from './product.ts'
import type { Random } from './random.ts'
import { predict, startWorkload } from './workload.ts'
import { haunt } from './zombie.ts'

export type Round = (Kill | 'zombie')[]
export type Attack = {
  product: Product
  client: Client
  book: Book
  tenants: Tenant[]
  checker: Checker
  random: Random
  kills: Map<Kill | 'zombie', number>
  /** What power failures took back. */
  taken: Taken
  staleResults: number
}

/** Of 20 rounds: each place dies three times or more, and so does the supervisor. */
const WHOLE: Round[] = [
  ['supervisor'],
  ['supervisor'],
  ['supervisor'],
  ['everything'],
  ['power'],
  ['power'],
  ['zombie'],
]
const PAIRED: Place[] = [
  ...(['runner', 'validator', 'postgres', 'functions', 'edge'] as const).flatMap(place =>
    Array.from({ length: 4 }, () => place),
  ),
  ...(['objects', 'engine'] as const).flatMap(place => Array.from({ length: 3 }, () => place)),
]

/** A round on a slow machine goes on until it has been worth the while. */
const PREDICTIONS_MIN = 700

/** So many rounds, in an order of chance. */
export function plan(rounds: number, random: Random): Round[] {
  const planned: Round[] = []
  while (planned.length < rounds) {
    const places = random.shuffled(PAIRED)
    const pairs = Array.from({ length: places.length / 2 }, (_, i) =>
      places.slice(2 * i, 2 * i + 2),
    )
    planned.push(...random.shuffled([...WHOLE, ...pairs]))
  }
  return planned.slice(0, rounds)
}

/** Work, deaths in the middle of it, the way back, and the books. */
export async function run(attack: Attack, round: Round) {
  const { product, book, random, checker } = attack
  if (round.includes('power')) await restartRecorded(product)
  const before = book.predictions.size
  const workload = startWorkload(attack)
  for (const kill of round) {
    await sleep(random.int(1_000, 2_500))
    await killOne(attack, kill)
  }
  const times = stopwatch()
  await healthy(attack)
  times.lap('healthy')
  while (book.predictions.size < before + PREDICTIONS_MIN) await sleep(100)
  times.lap('worked')
  await workload.stop()
  times.lap('answered')
  const verdict = await checker.check()
  times.lap('settled')
  attack.staleResults = await staleResults(product.dataFolder)
  if (book.jobs.length === 0) throw new Error('no job was accepted: nothing was tried')
  return { verdict, times: times.laps.join(', ') }
}

/** Where the time after the last death went, for whoever wonders. */
function stopwatch() {
  const laps: string[] = []
  let from = performance.now()
  return {
    laps,
    lap(name: string) {
      const now = performance.now()
      laps.push(`${name} ${((now - from) / 1000).toFixed(1)}`)
      from = now
    },
  }
}

async function killOne(attack: Attack, kill: Kill | 'zombie'): Promise<void> {
  const { product, checker } = attack
  let died = true
  if (kill === 'zombie') await haunt(product, attack)
  else if (kill === 'supervisor') {
    await killSupervisor(product)
    await product.start()
  } else if (kill === 'everything') {
    await killEverything(product)
    await product.start()
  } else if (kill === 'power') {
    const { cutAt, ...taken } = await failPower(product)
    checker.powerWasCut(cutAt)
    for (const name of ['names', 'files', 'bytes'] as const) attack.taken[name] += taken[name]
    await product.start()
  } else died = await killPlace(product, kill)
  if (died) attack.kills.set(kill, (attack.kills.get(kill) ?? 0) + 1)
}

/** What was stored until now counts as synced; what the recorder sees from here on must prove it. */
async function restartRecorded(product: Product): Promise<void> {
  await product.stop()
  await product.start({ record: true })
  if (existsSync(product.journal)) forgetJournal(product.journal)
}

/** One prediction per tenant works again. */
async function healthy(attack: Attack): Promise<void> {
  for (const tenant of attack.tenants)
    while (!(await predict(attack, tenant.keys[0]!))) await sleep(100)
}
