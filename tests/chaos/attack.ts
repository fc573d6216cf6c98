/** One product from its first start to its last: the rounds, then everything checked once more. */
import { setTimeout as sleep } from 'node:timers/promises'
import { acknowledged, type Book, emptyBook } from './book.ts'
import { openChecker, type Verdict } from './checker.ts'
import { openClient } from './client.ts'
import { openProduct } from './product.ts'
import { randomOf } from './random.ts'
import { type Attack, type Round, run } from './rounds.ts'
import { makeTenants } from './tenants.ts'

export type Outcome = Verdict & {
  acknowledged: number
  kills: Attack['kills']
  staleResults: number
  leftRunning: number
  taken: Attack['taken']
  book: Book
}
export type AttackOptions = {
  root?: string
  edge: 'node' | 'workerd'
  seed: number
  rounds: Round[]
  keep?: boolean
  /** How long callers and the checker wait for what does not come. */
  patienceMs?: number
  print(line: string): void
}

/** Attacks a product of its own and holds it to its promises. */
export async function attack(options: AttackOptions): Promise<Outcome> {
  const product = await openProduct(options)
  const onInterrupt = () => {
    product.remove()
    process.exit(130)
  }
  process.once('SIGINT', onInterrupt).once('SIGTERM', onInterrupt)
  try {
    await product.start()
    const client = openClient(product.url, options.patienceMs)
    const book = emptyBook()
    const tenants = await makeTenants(client, product.key, book)
    const checker = openChecker(client, book, tenants, options.patienceMs)
    const state: Attack = {
      product,
      client,
      book,
      tenants,
      checker,
      random: randomOf(options.seed),
      kills: new Map(),
      taken: { names: 0, files: 0, bytes: 0 },
      staleResults: 0,
    }
    const verdict = await allRounds(state, options)
    client.close()
    if (verdict.isUp) await product.stop()
    const { kills, staleResults, taken } = state
    const { leftRunning } = product
    return {
      ...verdict,
      acknowledged: acknowledged(book),
      kills,
      staleResults,
      leftRunning,
      taken,
      book,
    }
  } finally {
    process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt)
    product.remove()
  }
}

/** A product that does not come back has lost everything. */
async function allRounds(state: Attack, options: AttackOptions) {
  try {
    for (const [i, round] of options.rounds.entries()) await oneRound(state, round, i, options)
    await sleep(1_000)
    return { ...(await state.checker.check({ all: true })), isUp: true }
  } catch (error) {
    options.print(String(error))
    const lost = acknowledged(state.book)
    return {
      completed: 0,
      lost,
      unbilled: 0,
      billedTwice: 0,
      receiptsLostInLast50Ms: 0,
      why: [],
      isUp: false,
    }
  }
}

async function oneRound(state: Attack, round: Round, i: number, options: AttackOptions) {
  const began = performance.now()
  const { book } = state
  const before = acknowledged(book)
  const { verdict, times } = await run(state, round)
  const { lost, unbilled, billedTwice, why, receiptsLostInLast50Ms } = verdict
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  const bad = { lost, unbilled, billed_twice: billedTwice, late: receiptsLostInLast50Ms }
  const found = Object.entries(bad)
    .filter(([, n]) => n > 0)
    .map(([name, n]) => `${name} ${n}`)
  options.print(
    `round ${String(i + 1).padStart(2)}  ${round.join(' + ').padEnd(24)} ${seconds.padStart(5)} s  ` +
      `(${times})  ${acknowledged(book) - before} acknowledged  ${found.join(', ') || 'all there'}`,
  )
  for (const line of why) options.print(`          ${line}`)
}
