/**
 * `npm run chaos -- --scenario ingest`: events are sent in every disorder while each place on their way is
 * killed. Afterwards the log holds each acknowledged event once, its partition has applied it once, and
 * what is served is what the log says.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { openClient } from '../client.ts'
import { type Kill, killEverything, killPlace, killSupervisor } from '../kills.ts'
import type { Place } from '../processes.ts'
import { openProduct, type Product } from '../product.ts'
import { randomOf } from '../random.ts'
import { check, declare, type Verdict } from './books.ts'
import { type Book, startSenders } from './workload.ts'

const ROUNDS: Kill[][] = [
  ['functions', 'objects'],
  ['edge', 'functions'],
  ['postgres', 'objects'],
  ['objects', 'objects'],
  ['functions', 'postgres'],
  ['edge', 'objects'],
  ['supervisor'],
  ['functions', 'functions'],
  ['everything'],
  ['objects', 'postgres'],
]
const FULL_ROUNDS = ROUNDS.length
const ACKNOWLEDGED_MIN = 10_000

export async function ingestScenario(o: {
  rounds: number
  seed: number
  edge: 'node' | 'workerd'
  keep: boolean
  print(line: string): void
}): Promise<boolean> {
  const product = await openProduct(o)
  const onInterrupt = () => {
    product.remove()
    process.exit(130)
  }
  process.once('SIGINT', onInterrupt).once('SIGTERM', onInterrupt)
  const random = randomOf(o.seed)
  const book: Book = { events: new Map(), requests: 0, repeats: 0 }
  const kills = new Map<string, number>()
  try {
    await product.start()
    const client = openClient(product.url)
    const { key } = product
    await declare(client, key)
    const planned = random.shuffled(ROUNDS)
    for (let i = 0; i < o.rounds; i++) {
      const round = planned[i % planned.length]!
      const before = book.events.size
      const senders = startSenders({ client, key, random, book })
      for (const kill of round) {
        await sleep(random.int(800, 2_000))
        if (await killOne(product, kill, o.edge)) kills.set(kill, (kills.get(kill) ?? 0) + 1)
      }
      await sleep(1_000)
      await senders.stop()
      o.print(`round ${i + 1}  ${round.join(' + ')}  ${book.events.size - before} events`)
    }
    const verdict = await check(client, key, book)
    client.close()
    await product.stop()
    return report(o, book, kills, verdict)
  } finally {
    process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt)
    product.remove()
  }
}

async function killOne(product: Product, kill: Kill, edge: string): Promise<boolean> {
  if (kill === 'everything') await killEverything(product)
  else if (kill === 'supervisor') await killSupervisor(product)
  // Durable Objects live in the edge's process.
  else
    return killPlace(product, (kill === 'objects' && edge === 'workerd' ? 'edge' : kill) as Place)
  await product.start()
  return true
}

function report(
  o: { rounds: number; seed: number; edge: string; print(line: string): void },
  book: Book,
  kills: Map<string, number>,
  verdict: Verdict,
): boolean {
  const { inLog, why, ...found } = verdict
  const acknowledged = [...book.events.values()].filter(event => event.acknowledged).length
  for (const line of why) o.print(`          ${line}`)
  o.print(
    JSON.stringify({
      chaos: 'ingest',
      rounds: o.rounds,
      acknowledged,
      in_log: inLog,
      applied_twice: found.appliedTwice + found.gaps,
      online_equals_offline: found.onlineEqualsOffline,
      lost: found.lost,
      logged_twice: found.loggedTwice,
      unplaced: found.unplaced,
      sent_again: book.repeats,
      kills: Object.fromEntries(kills),
      seed: o.seed,
      edge: o.edge,
    }),
  )
  const isWhole = o.rounds < FULL_ROUNDS || acknowledged >= ACKNOWLEDGED_MIN
  const counts = [found.lost, found.loggedTwice, found.appliedTwice, found.unplaced, found.gaps]
  return isWhole && found.onlineEqualsOffline && counts.every(n => n === 0)
}
