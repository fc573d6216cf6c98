/** The log and the online features as their owner reads them, held against what was acknowledged. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, Json } from '../client.ts'
import { type Book, SOURCE } from './workload.ts'

const SETTLE_MS = 90_000
const POLL_MS = 500
const WINDOW_US = 3_600_000_000

type Logged = {
  id: string
  source: string
  time: string
  data: { card: string; amount: number }
  positions: { entity_key: string; partition: number; seq: number; known_at: string }[]
}
export type Verdict = {
  inLog: number
  lost: number
  loggedTwice: number
  /** Events of which a partition holds more, or not one, place; and places that are told twice. */
  appliedTwice: number
  unplaced: number
  gaps: number
  onlineEqualsOffline: boolean
  why: string[]
}

export const SERVICE = 'chaos'
const VIEW = {
  entity: 'card',
  event_type: 'payment',
  features: {
    count: { agg: 'count', window: '1h' },
    sum: { agg: 'sum', of: 'amount', window: '1h' },
    last: { agg: 'last', of: 'amount' },
  },
}

export async function declare(client: Client, key: string): Promise<void> {
  const put = (path: string, body: unknown) => client.insist({ key, method: 'PUT', path, body })
  await put('/v1/event-types/payment', {
    fields: { card: { type: 'string' }, amount: { type: 'decimal', scale: 2 } },
    entities: { card: 'card' },
  })
  await put('/v1/feature-views/chaos', VIEW)
  await put(`/v1/feature-services/${SERVICE}`, { features: ['chaos:*'] })
}

/** Waits until every acknowledged event has its place, then reads everything. */
export async function check(client: Client, key: string, book: Book): Promise<Verdict> {
  const acknowledged = [...book.events.values()].filter(event => event.acknowledged)
  let log = await readLog(client, key)
  for (const until = Date.now() + SETTLE_MS; Date.now() < until; await sleep(POLL_MS)) {
    const placed = new Set(log.filter(({ positions }) => positions.length > 0).map(({ id }) => id))
    if (acknowledged.every(({ id }) => placed.has(id)) && placed.size === log.length) break
    log = await readLog(client, key)
  }
  const why: string[] = []
  const byId = Map.groupBy(log, ({ id }) => id)
  const lost = acknowledged.filter(({ id }) => !byId.has(id))
  for (const { id } of lost.slice(0, 5)) why.push(`lost: ${id}`)
  const twice = [...byId].filter(([, rows]) => rows.length > 1)
  for (const [id] of twice.slice(0, 5)) why.push(`twice in the log: ${id}`)
  const places = placesOf(log, why)
  const isEqual = await onlineEqualsOffline(client, key, log, why)
  return {
    inLog: acknowledged.length - lost.length,
    lost: lost.length,
    loggedTwice: twice.length,
    ...places,
    onlineEqualsOffline: isEqual,
    why,
  }
}

async function readLog(client: Client, key: string): Promise<Logged[]> {
  const all: Logged[] = []
  for (let cursor = ''; ; ) {
    const path = `/v1/events?limit=1000${cursor && `&cursor=${encodeURIComponent(cursor)}`}`
    const page: Json = await client.insist({ key, method: 'GET', path })
    all.push(...(page.data as Logged[]).filter(({ source }) => source === SOURCE))
    if (!page.next_cursor) return all
    cursor = page.next_cursor
  }
}

/** Every event has one place, no place holds two, and each partition counts without a gap. */
function placesOf(log: Logged[], why: string[]) {
  const seqs = new Map<number, number[]>()
  let [appliedTwice, unplaced, gaps] = [0, 0, 0]
  for (const { id, positions } of log) {
    if (positions.length === 0) {
      unplaced++
      why.push(`without a place: ${id}`)
    }
    if (positions.length > 1) appliedTwice++
    for (const { partition, seq } of positions) {
      seqs.set(partition, [...(seqs.get(partition) ?? []), seq])
    }
  }
  for (const [partition, all] of seqs) {
    const distinct = new Set(all)
    appliedTwice += all.length - distinct.size
    // More applied than the log knows of is applied twice, or applied and lost.
    const missing = Math.max(...all) - distinct.size
    if (missing > 0) why.push(`partition ${partition}: ${missing} places that no event has`)
    gaps += missing
  }
  return { appliedTwice, unplaced, gaps }
}

/** What is served now, against the sums over the log at the very time of the read. */
async function onlineEqualsOffline(
  client: Client,
  key: string,
  log: Logged[],
  why: string[],
): Promise<boolean> {
  const byCard = Map.groupBy(log, ({ data }) => data.card)
  const cards = [...byCard.keys()]
  const body = { entities: cards.map(card => ({ card })) }
  const path = `/v1/features/${SERVICE}/read`
  const found: Json = await client.insist({ key, method: 'POST', path, body })
  let isEqual = true
  for (const [i, card] of cards.entries()) {
    const { values, freshness } = found.results[i]
    const expected = offline(byCard.get(card)!, micros(freshness[0].at))
    if (JSON.stringify(values) === JSON.stringify(expected)) continue
    isEqual = false
    if (why.length < 12)
      why.push(
        `${card}: ${JSON.stringify(values)} online, ${JSON.stringify(expected)} from the log`,
      )
  }
  return isEqual
}

function offline(events: Logged[], at: number): unknown[] {
  const placed = events
    .map(event => ({ event, time: micros(event.time), place: event.positions[0]! }))
    .filter(({ time, place }) => time < at && micros(place.known_at) <= at)
    // Later than an hour after it happened an event is not counted.
    .filter(({ time, place }) => micros(place.known_at) - time <= WINDOW_US)
    .sort((a, b) => a.time - b.time || a.place.seq - b.place.seq)
  const inside = placed.filter(({ time }) => time >= at - WINDOW_US)
  const cents = inside.map(({ event }) => Math.round(event.data.amount * 100))
  const sum = inside.length === 0 ? null : cents.reduce((a, b) => a + b, 0) / 100
  return [inside.length, sum, placed.at(-1)?.event.data.amount ?? null]
}

function micros(text: string): number {
  const [, seconds, fraction = ''] = /^(.*?)(?:\.(\d+))?Z$/.exec(text)!
  return Date.parse(`${seconds}Z`) * 1_000 + Number(fraction.padEnd(6, '0'))
}
