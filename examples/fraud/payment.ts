/** One payment in this world, and the clock by which it is dated. */
import type { Random } from './random.ts'
import type { Card, Merchant } from './world.ts'

export const ATTACKS = ['testing', 'takeover', 'merchant', 'device'] as const
export type Attack = (typeof ATTACKS)[number]

export type Payment = {
  id: string
  /** Microseconds UTC. */
  time: number
  card_id: string
  merchant_id: string
  device_id: string
  /** In cents. */
  amount: number
  country: string
  online: boolean
  /** Of the day, where the card's owner lives. */
  hour: number
  /** Null: an honest payment. */
  attack: Attack | null
  /** When the truth is known; microseconds. */
  labelTime: number
}
export type Draft = Omit<Payment, 'id'>

export const START = Date.UTC(2026, 0, 5) * 1000
export const SECOND = 1_000_000
export const HOUR = 3_600 * SECOND
export const DAY = 24 * HOUR
/** Every complaint has come in by then. */
export const COMPLAINT_DAYS_MAX = 14

export type Special = {
  country?: string
  device?: string
  amount?: number
  online?: boolean
  attack?: Attack
}

/** What a card pays at a shop; `o` says what is not as usual. */
export function purchase(
  random: Random,
  card: Card,
  shop: Merchant,
  time: number,
  o: Special,
): Draft {
  const cents = 100 * shop.amount * card.level * Math.exp(0.6 * random.normal())
  const online = o.online ?? random.next() < shop.online
  return {
    time,
    card_id: card.id,
    merchant_id: shop.id,
    device_id: o.device ?? random.pick(card.devices),
    amount: o.amount ?? cents,
    country: o.country ?? card.country,
    online,
    hour: Math.floor((time % DAY) / HOUR),
    attack: o.attack ?? null,
    labelTime: Math.floor(
      time + (o.attack ? 2 + (COMPLAINT_DAYS_MAX - 2) * random.next() : 30) * DAY,
    ),
  }
}

/** Drafts as payments: whole numbers, in order of time, named by it. */
export function inOrder(drafts: readonly Draft[], prefix: string): Payment[] {
  return drafts
    .map(draft => ({
      ...draft,
      time: Math.floor(draft.time),
      amount: Math.max(1, Math.round(draft.amount)),
    }))
    .sort((a, b) => a.time - b.time)
    .map((draft, i) => ({ id: `${prefix}${i}`, ...draft }))
}
