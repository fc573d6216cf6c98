/**
 * The stream of payments in this world, in order of time: what honest people do, including what looks
 * odd and is not (sprees, journeys), and four kinds of attack. Each payment knows its truth; the label
 * becomes known days later, when somebody complains.
 */

import { type Random, randomOf } from './random.ts'
import { type Card, COUNTRIES, type Merchant, type World } from './world.ts'

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

export const START = Date.UTC(2026, 0, 5) * 1000
const SECOND = 1_000_000
const HOUR = 3_600 * SECOND
export const DAY = 24 * HOUR
/** Attacks that begin a day, for each thousand cards; a tenth of a per cent of payments in the end. */
const ATTACKS_A_DAY = { testing: 0.16, takeover: 0.22, merchant: 0.05, device: 0.06 }
/** Honest people shop several times in a row, and travel. */
const SPREE_SHARE = 0.02
const JOURNEYS_A_DAY = 0.004

type Draft = Omit<Payment, 'id'>

/** All payments of so many days from `start` (microseconds, the beginning of a day), oldest first. */
export function payments(
  world: World,
  o: { seed: number; days: number; start?: number },
): Payment[] {
  const { start = START, days } = o
  const random = randomOf(o.seed ^ 0x5bd1e995)
  const drafts: Draft[] = []
  for (const card of world.cards) honest(random, card, start, days, drafts)
  const thousands = world.cards.length / 1_000
  for (const attack of ATTACKS) {
    const times = ATTACKS_A_DAY[attack] * thousands * days
    const count = Math.floor(times + random.next())
    for (let i = 0; i < count; i++) {
      attacks[attack](random, world, start + random.next() * days * DAY, drafts)
    }
  }
  const end = start + days * DAY
  return drafts
    .map(draft => ({
      ...draft,
      time: Math.floor(draft.time),
      amount: Math.max(1, Math.round(draft.amount)),
    }))
    .filter(({ time }) => time < end)
    .sort((a, b) => a.time - b.time)
    .map((draft, i) => ({ id: `p${i}`, ...draft }))
}

function honest(random: Random, card: Card, start: number, days: number, into: Draft[]): void {
  let abroadUntil = 0
  let abroad = card.country
  for (let time = start; ; ) {
    time += (random.exponential() * DAY) / card.rate
    if (time >= start + days * DAY) return
    const at = waking(random, time)
    if (at > abroadUntil && random.next() < JOURNEYS_A_DAY / card.rate) {
      abroad = random.pick(COUNTRIES)
      abroadUntil = at + random.int(2, 9) * DAY
    }
    const country = at < abroadUntil ? abroad : card.country
    const times = random.next() < SPREE_SHARE ? random.int(3, 7) : 1
    for (let i = 0, when = at; i < times; i++, when += random.exponential() * 0.2 * HOUR) {
      into.push(purchase(random, card, random.pick(card.merchants), when, { country }))
    }
  }
}

type Special = {
  country?: string
  device?: string
  amount?: number
  online?: boolean
  attack?: Attack
}

function purchase(random: Random, card: Card, shop: Merchant, time: number, o: Special): Draft {
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
    labelTime: Math.floor(time + (o.attack ? 2 + 12 * random.next() : 30) * DAY),
  }
}

const attacks: Record<Attack, (random: Random, world: World, at: number, into: Draft[]) => void> = {
  /** A stolen number is tried with small amounts at web shops, a payment every half minute, then used. */
  testing(random, world, at, into) {
    const card = random.pick(world.cards)
    const shops = world.merchants.filter(({ online }) => online > 0.5)
    const device = `x${random.int(0, 1e9)}`
    let time = at
    for (let i = random.int(6, 24); i > 0; i--) {
      time += random.exponential() * 30 * SECOND
      const special = {
        device,
        amount: random.int(50, 900),
        online: true,
        attack: 'testing' as const,
      }
      into.push(purchase(random, card, random.pick(shops), time, special))
    }
    for (let i = random.int(1, 3); i > 0; i--) {
      time += random.exponential() * 300 * SECOND
      into.push(
        purchase(random, card, random.pick(shops), time, {
          device,
          online: true,
          attack: 'testing',
        }),
      )
    }
  },
  /** An account is taken over: several purchases of ordinary size within the hour, often from abroad. */
  takeover(random, world, at, into) {
    const card = random.pick(world.cards)
    const device = random.next() < 0.6 ? `x${random.int(0, 1e9)}` : random.pick(card.devices)
    const country = random.next() < 0.4 ? random.pick(COUNTRIES) : card.country
    let time = at
    for (let i = random.int(4, 10); i > 0; i--) {
      time += random.exponential() * 0.12 * HOUR
      into.push(
        purchase(random, card, random.pick(world.merchants), time, {
          device,
          country,
          attack: 'takeover',
        }),
      )
    }
  },
  /** A merchant's card data leak and are used there at once: one payment each of many cards. */
  merchant(random, world, at, into) {
    const shop = random.pick(world.merchants)
    let time = at
    for (let i = random.int(25, 70); i > 0; i--) {
      time += random.exponential() * 90 * SECOND
      const device = `x${random.int(0, 1e9)}`
      into.push(
        purchase(random, random.pick(world.cards), shop, time, {
          device,
          online: true,
          attack: 'merchant',
        }),
      )
    }
  },
  /** One device pays with many cards within hours. */
  device(random, world, at, into) {
    const device = `x${random.int(0, 1e9)}`
    let time = at
    for (let i = random.int(12, 40); i > 0; i--) {
      time += random.exponential() * 0.1 * HOUR
      into.push(
        purchase(random, random.pick(world.cards), random.pick(world.merchants), time, {
          device,
          online: true,
          attack: 'device',
        }),
      )
    }
  },
}

/** People sleep: most of what would happen at night happens in the day. */
function waking(random: Random, time: number): number {
  const hour = (time % DAY) / HOUR
  return hour < 7 && random.next() < 0.85 ? time + (8 + random.next() * 10) * HOUR : time
}
