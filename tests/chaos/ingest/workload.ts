/**
 * Senders of events as careful ones are: in batches out of order, with repetitions, again and again until
 * they are acknowledged. What they know of each event is what the log must hold.
 */
import type { Client } from '../client.ts'
import type { Random } from '../random.ts'

export const TYPE = 'payment'
export const SOURCE = 'chaos'
const CARDS = 200
const BATCH_MAX = 40
const SENDERS = 6
const MINUTE_MS = 60_000

export type Sent = {
  id: string
  card: string
  cents: number
  timeMs: number
  acknowledged: boolean
}
export type Book = {
  events: Map<string, Sent>
  requests: number
  /** Sends of what had been sent before. */
  repeats: number
}

export type Workload = { stop(): Promise<void> }

export function startSenders(o: {
  client: Client
  key: string
  random: Random
  book: Book
}): Workload {
  let stopping = false
  const running = Array.from({ length: SENDERS }, (_, i) => sender(i))

  async function sender(number: number): Promise<void> {
    while (!stopping) {
      const events = batchOf(o, number)
      await o.client.insist({
        key: o.key,
        method: 'POST',
        path: '/v1/events',
        body: Buffer.from(JSON.stringify(events.map(cloudEvent))),
        headers: { 'content-type': 'application/cloudevents-batch+json' },
      })
      for (const event of events) event.acknowledged = true
      o.book.requests++
    }
  }

  return {
    async stop() {
      stopping = true
      await Promise.all(running)
    },
  }
}

/** Some new events in an order of chance, and now and then some that were sent before. */
function batchOf({ random, book }: { random: Random; book: Book }, number: number): Sent[] {
  const fresh = Array.from({ length: random.int(1, BATCH_MAX) }, (): Sent => {
    const event = {
      id: `e${number}-${book.events.size}`,
      card: `c${random.int(1, CARDS)}`,
      cents: random.int(1, 99_999),
      // Late by up to some minutes, and a little early.
      timeMs: Date.now() - random.int(-200, 5 * MINUTE_MS),
      acknowledged: false,
    }
    book.events.set(event.id, event)
    return event
  })
  const known = [...book.events.keys()]
  const again = Array.from({ length: random.next() < 0.3 ? random.int(1, 10) : 0 }, () => {
    book.repeats++
    return book.events.get(random.pick(known))!
  })
  return random.shuffled([
    ...new Map([...fresh, ...again].map(event => [event.id, event])).values(),
  ])
}

function cloudEvent({ id, card, cents, timeMs }: Sent) {
  return {
    specversion: '1.0',
    id,
    source: SOURCE,
    type: TYPE,
    time: new Date(timeMs).toISOString(),
    data: { card, amount: (cents / 100).toFixed(2) },
  }
}
