/**
 * A rush: what is decided while callers wait. So many payments a second come from cards each of
 * which pays at most once, so that every card's own past stays as usual, and among them a wave of attacks
 * that keep their own pace; most began within the hour before.
 */
import { attack } from './attacks.ts'
import { ATTACKS, type Draft, HOUR, inOrder, type Payment, purchase, SECOND } from './payment.ts'
import { type Random, randomOf } from './random.ts'
import type { World } from './world.ts'

export type Rush = {
  /** What these attacks did before it. */
  before: Payment[]
  /** Oldest first; the n-th is due n / rate seconds after the start. */
  live: Payment[]
}

/** `start`: microseconds of this world's clock. `attacks`: of each kind, begun within the hour before or during it. */
export function rush(
  world: World,
  o: { seed: number; start: number; seconds: number; rate: number; attacks: number },
): Rush {
  const random = randomOf(o.seed ^ 0x27d4eb2f)
  const end = o.start + o.seconds * SECOND
  const attacks: Draft[] = []
  for (const kind of ATTACKS) {
    for (let i = 0; i < o.attacks; i++) {
      const at = o.start - HOUR + random.next() * (HOUR + o.seconds * SECOND)
      attack[kind](random, world, at, attacks)
    }
  }
  const total = Math.round(o.rate * o.seconds)
  const live = attacks.filter(({ time }) => time >= o.start && time < end).slice(0, total)
  const attacked = new Set(attacks.map(({ card_id }) => card_id))
  const calm = shuffled(
    random,
    world.cards.filter(({ id }) => !attacked.has(id)),
  )
  // A world too small for that has cards pay again.
  const cards = calm.length > 0 ? calm : world.cards
  for (let i = 0; live.length < total; i++) {
    const card = cards[i % cards.length]!
    const time = o.start + random.next() * o.seconds * SECOND
    live.push(purchase(random, card, random.pick(card.merchants), time, {}))
  }
  const before = attacks.filter(({ time }) => time < o.start)
  return { before: inOrder(before, 'b'), live: inOrder(live, 'l') }
}

function shuffled<T>(random: Random, items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = random.int(0, i)
    ;[items[i], items[j]] = [items[j]!, items[i]!]
  }
  return items
}
