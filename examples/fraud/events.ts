/** This world as Galley is told of it: CloudEvents, and the questions that training sets answer. */
import { DAY, type Payment, START } from './payment.ts'
import type { World } from './world.ts'

export type CloudEvent = {
  specversion: '1.0'
  id: string
  source: string
  type: string
  /** Absent: it happens now. */
  time?: string
  data: Record<string, string | number | boolean>
}

export const SOURCE = '/examples/fraud'

/** What is known of cards and shops before anybody pays. `shift`: microseconds added to this world's clock. */
export function profiles(world: World, shift: number): CloudEvent[] {
  const common = {
    specversion: '1.0',
    source: SOURCE,
    time: timeText(START - DAY + shift),
  } as const
  return [
    ...world.cards.map(card => ({
      ...common,
      id: `customer-${card.id}`,
      type: 'customer',
      data: { card_id: card.id, home_country: card.country, age_days: card.ageDays },
    })),
    ...world.merchants.map(({ id, kind, amount, risk }) => ({
      ...common,
      id: `shop-${id}`,
      type: 'shop',
      data: { merchant_id: id, kind, typical: Math.round(amount * 100) / 100, risk },
    })),
  ]
}

export function paymentEvent(payment: Payment, shift: number): CloudEvent {
  const { id, time } = payment
  const data = dataOf(payment)
  return {
    specversion: '1.0',
    id,
    source: SOURCE,
    type: 'payment',
    time: timeText(time + shift),
    data,
  }
}

/** What is said of a payment when it is made: nothing of its truth. */
export function dataOf({
  card_id,
  merchant_id,
  device_id,
  amount,
  country,
  online,
  hour,
}: Payment): CloudEvent['data'] {
  return { card_id, merchant_id, device_id, amount: amount / 100, country, online, hour }
}

/** A payment as a row of a spine: its data, its time, and what is to stand beside the features. */
export function question(payment: Payment, shift: number): Record<string, unknown> {
  return { ...dataOf(payment), timestamp: timeText(payment.time + shift) }
}

/** RFC 3339, to the microsecond. */
export function timeText(us: number): string {
  const seconds = new Date(Math.floor(us / 1_000_000) * 1_000).toISOString().slice(0, 19)
  return `${seconds}.${String(us % 1_000_000).padStart(6, '0')}Z`
}
