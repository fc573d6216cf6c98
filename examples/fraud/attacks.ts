/** Four kinds of attack. Each begins at a time and leaves its payments in `into`, which are in no order. */
import { type Attack, type Draft, HOUR, purchase, SECOND } from './payment.ts'
import type { Random } from './random.ts'
import { COUNTRIES, type World } from './world.ts'

export const attack: Record<
  Attack,
  (random: Random, world: World, at: number, into: Draft[]) => void
> = {
  /** A stolen number is tried with small amounts at web shops, a payment every half minute, then used. */
  testing(random, world, at, into) {
    const card = random.pick(world.cards)
    const shops = world.merchants.filter(({ online }) => online > 0.5)
    const device = newDevice(random)
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
    const device = random.next() < 0.6 ? newDevice(random) : random.pick(card.devices)
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
      const device = newDevice(random)
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
    const device = newDevice(random)
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

/** One that nobody has paid with, named like any other. */
function newDevice(random: Random): string {
  return `d${random.int(1e6, 1e9)}-0`
}
