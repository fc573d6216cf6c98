/**
 * A made-up world of card payments: who pays where, how often, how much. Nothing of it is real; the
 * numbers are stated here so that everybody can see what a model could learn.
 */
import { type Random, randomOf } from './random.ts'

export const COUNTRIES = ['DE', 'FR', 'IT', 'ES', 'NL', 'PL', 'US', 'BR', 'NG', 'VN'] as const
/** Kinds of merchants, with a typical amount and the share of purchases made online. */
const KINDS = [
  { kind: 'grocery', amount: 35, online: 0.1 },
  { kind: 'fuel', amount: 55, online: 0 },
  { kind: 'restaurant', amount: 40, online: 0.2 },
  { kind: 'fashion', amount: 70, online: 0.6 },
  { kind: 'electronics', amount: 180, online: 0.7 },
  { kind: 'digital', amount: 12, online: 1 },
  { kind: 'travel', amount: 260, online: 0.9 },
] as const

export type Merchant = {
  id: string
  kind: string
  amount: number
  online: number
  country: string
  /** What an acquirer would know: the share of charge-backs of the last year. */
  risk: number
}
export type Card = {
  id: string
  country: string
  /** Purchases a day. */
  rate: number
  /** This card's amounts against what is typical of the merchant. */
  level: number
  devices: string[]
  merchants: Merchant[]
  ageDays: number
}
export type World = { cards: Card[]; merchants: Merchant[] }

export type WorldSize = { seed: number; cards: number; merchants: number }

export function makeWorld({ seed, cards, merchants }: WorldSize): World {
  const random = randomOf(seed)
  const shops = Array.from({ length: merchants }, (_, i) => makeMerchant(random, i))
  return {
    merchants: shops,
    cards: Array.from({ length: cards }, (_, i) => makeCard(random, shops, i)),
  }
}

function makeMerchant(random: Random, i: number): Merchant {
  const { kind, amount, online } = random.pick(KINDS)
  return {
    id: `m${i}`,
    kind,
    amount: amount * Math.exp(0.3 * random.normal()),
    online,
    country: random.pick(COUNTRIES.slice(0, 7)),
    risk: Math.round(Math.min(0.05, 0.004 * random.exponential()) * 1e4) / 1e4,
  }
}

function makeCard(random: Random, merchants: Merchant[], i: number): Card {
  return {
    id: `c${i}`,
    country: random.pick(COUNTRIES.slice(0, 6)),
    rate: 1.6 * Math.exp(0.5 * random.normal() - 0.125),
    level: Math.exp(0.4 * random.normal()),
    devices: Array.from({ length: random.int(1, 2) }, (_, j) => `d${i}-${j}`),
    merchants: Array.from({ length: random.int(8, 20) }, () => random.pick(merchants)),
    ageDays: random.int(30, 3_000),
  }
}
