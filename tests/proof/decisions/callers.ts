/**
 * Callers who decide payments at the same time and try again until they are told, some of whom also send
 * the same payment as an ordinary event: before, after or while they ask.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, type Json, Refused } from '../../chaos/client.ts'
import type { Random } from '../../chaos/random.ts'
import { CARD, ENDPOINT, SOURCE } from './scene.ts'

export const CALLERS = 64
const ALSO_SENT = 0.25
const ASKED_AGAIN = 0.1

/** One decision as its caller was told it, amounts in cents. */
export type Told = {
  id: string
  cents: number
  seq: number
  payments: number
  spent: number
  score: number
  answer: string
}
export type Book = {
  told: Told[]
  alsoSent: number
  askedAgain: number
  /** Those who asked again and were told something else. */
  changed: string[]
  refused: string[]
}
type Calling = { client: Client; key: string; random: Random; book: Book }

/** Decides until there are so many and `isEnough` agrees. */
export async function callAll(o: Calling & { decisions: number; isEnough(): boolean }) {
  let next = 0
  const one = async () => {
    while (next < o.decisions || !o.isEnough()) await payment(o, next++)
  }
  await Promise.all(Array.from({ length: CALLERS }, one))
}

async function payment({ client, key, random, book }: Calling, number: number): Promise<void> {
  const id = `payment-${number}`
  const cents = random.int(1, 100_000)
  const event = { id, data: { card_id: CARD, amount: cents / 100 } }
  const isAlsoSent = random.next() < ALSO_SENT
  const [before, after] = isAlsoSent
    ? random.pick([
        [true, false],
        [false, true],
        [false, false],
      ])
    : []
  const send = () => sendEvent({ client, key }, event)
  try {
    if (before) await send()
    const along = isAlsoSent && !before && !after ? send() : null
    const told = await decide({ client, key }, event)
    await along
    if (after) await send()
    if (isAlsoSent) book.alsoSent++
    book.told.push(told)
    if (random.next() >= ASKED_AGAIN) return
    await sleep(random.int(0, 2_000))
    book.askedAgain++
    const again = await decide({ client, key }, event)
    if (JSON.stringify(again) !== JSON.stringify(told)) {
      book.changed.push(`${JSON.stringify(told)} → ${JSON.stringify(again)}`)
    }
  } catch (error) {
    book.refused.push(error instanceof Refused ? error.message : `${id}: ${String(error)}`)
  }
}

type Payment = { id: string; data: { card_id: string; amount: number } }

export async function decide(
  { client, key }: Pick<Calling, 'client' | 'key'>,
  event: Payment,
): Promise<Told> {
  const body = { ...event, source: SOURCE }
  const path = `/v1/decisions/${ENDPOINT}`
  const reply: Json = await client.insist({ key, method: 'POST', path, body, timeoutMs: 20_000 })
  const { features } = reply
  return {
    id: event.id,
    cents: Math.round(event.data.amount * 100),
    seq: reply.event.seq,
    payments: features['velocity.payments'],
    spent: Math.round((features['velocity.spent'] ?? 0) * 100),
    score: reply.score,
    answer: reply.decision,
  }
}

async function sendEvent(
  { client, key }: Pick<Calling, 'client' | 'key'>,
  event: Payment,
): Promise<void> {
  const body = { specversion: '1.0', type: 'payment', source: SOURCE, ...event }
  const bytes = Buffer.from(JSON.stringify(body))
  const headers = { 'content-type': 'application/cloudevents+json' }
  await client.insist({ key, method: 'POST', path: '/v1/events', body: bytes, headers })
}
