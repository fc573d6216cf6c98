/** What the fraud example is shown with: a running product, the world, and the spans of its time. */
import { Galley } from '#sdk/client.ts'
import {
  COMPLAINT_DAYS_MAX,
  DAY,
  type Payment,
  SECOND,
  START,
} from '../../examples/fraud/payment.ts'
import { busyness, payments } from '../../examples/fraud/stream.ts'
import { makeWorld, type World } from '../../examples/fraud/world.ts'
import type { Product } from '../product.ts'

/** A month, and so far into its last day that people are awake. */
export const DAYS = 30 + 14 / 24
/** The world goes on while it is told of, for so long. */
const AHEAD_DAYS = 1 / 24
/** Windows with hops begin at whole hops: who moves the world by less changes its features. */
const HOP = 900 * SECOND
const SHOPS_MIN = 40

/**
 * In days. Windows fill until `first`. Models are fitted on what is before `choose`, thresholds are chosen
 * on what is before `known`: by `heldOut` all complaints about that have come in. Scores are judged by what
 * comes from then on.
 */
export const SPANS = { first: 3, choose: 10, known: 12, heldOut: 12 + COMPLAINT_DAYS_MAX } as const

export type Size = { transactions: number; cards: number; seed: number }
export type Scene = {
  product: Product
  galley: Galley
  size: Size
  world: World
  /** Oldest first: first what is told at once, then what will have happened meanwhile. */
  stream: Payment[]
  /** How many of them are told at once. */
  past: number
  /** Microseconds to add to this world's clock. */
  shift: number
  say(line: string): void
}

export function makeScene(product: Product, size: Size, say: Scene['say']): Scene {
  const { seed, cards, transactions } = size
  const merchants = Math.max(SHOPS_MIN, Math.ceil(cards / 10))
  const world = makeWorld({ seed, cards, merchants })
  const busy = busyness({ transactions, cards, days: DAYS })
  const stream = payments(world, { seed, days: DAYS + AHEAD_DAYS, busy })
  const end = START + DAYS * DAY
  return {
    product,
    galley: new Galley({ baseUrl: product.url, key: product.key }),
    size,
    world,
    stream,
    past: stream.filter(({ time }) => time < end).length,
    shift: Math.floor((Date.now() * 1_000 - end) / HOP) * HOP,
    say,
  }
}

/** Days since the beginning. */
export function dayOf({ time }: Payment): number {
  return (time - START) / DAY
}

export const count = (value: number) => new Intl.NumberFormat('en-US').format(value)
