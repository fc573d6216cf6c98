/**
 * The stream of payments in this world, in order of time: what honest people do, including what looks
 * odd and is not (sprees, journeys), and four kinds of attack. Each payment knows its truth; the label
 * becomes known days later, when somebody complains.
 */
import { attack } from './attacks.ts'
import {
  ATTACKS,
  DAY,
  type Draft,
  HOUR,
  inOrder,
  type Payment,
  purchase,
  START,
} from './payment.ts'
import { type Random, randomOf } from './random.ts'
import { type Card, COUNTRIES, type World } from './world.ts'

/** Attacks that begin a day, for each thousand cards; half a per cent of payments in the end. */
const ATTACKS_A_DAY = { testing: 0.16, takeover: 0.22, merchant: 0.05, device: 0.06 }
/** Of each kind, however small the world: there must be something to learn from. */
const ATTACKS_MIN = 8
/** Honest people shop several times in a row, and travel. */
const SPREE_SHARE = 0.02
const JOURNEYS_A_DAY = 0.004
/** Payments that one card makes in a day, sprees included. */
const USUAL_A_DAY = 1.742

/** How much busier than usual cards must be for so many payments in all, a hundredth more to be sure. */
export function busyness(o: { transactions: number; cards: number; days: number }): number {
  return (1.01 * o.transactions) / (o.cards * o.days * USUAL_A_DAY)
}

/** All payments of so many days from START, oldest first. `busy`: how often cards pay, to what is usual. */
export function payments(
  world: World,
  o: { seed: number; days: number; busy?: number },
): Payment[] {
  const { days, busy = 1 } = o
  const random = randomOf(o.seed ^ 0x5bd1e995)
  const end = START + days * DAY
  const drafts: Draft[] = []
  for (const card of world.cards) honest(random, card, { end, busy }, drafts)
  const thousands = world.cards.length / 1_000
  for (const kind of ATTACKS) {
    const times = Math.max(ATTACKS_MIN, ATTACKS_A_DAY[kind] * thousands * days)
    const count = Math.floor(times + random.next())
    for (let i = 0; i < count; i++) {
      attack[kind](random, world, START + random.next() * days * DAY, drafts)
    }
  }
  return inOrder(
    drafts.filter(({ time }) => time < end),
    'p',
  )
}

function honest(random: Random, card: Card, o: { end: number; busy: number }, into: Draft[]): void {
  let abroadUntil = 0
  let abroad = card.country
  for (let time = START; ; ) {
    time += (random.exponential() * DAY) / (card.rate * o.busy)
    if (time >= o.end) return
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

/** People sleep: most of what would happen at night happens in the day. */
function waking(random: Random, time: number): number {
  const hour = (time % DAY) / HOUR
  return hour < 7 && random.next() < 0.85 ? time + (8 + random.next() * 10) * HOUR : time
}
