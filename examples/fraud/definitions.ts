/**
 * What Galley is told about payments: which events there are, which features follow from them, and how a
 * decision is made. Plain data: the same could stand in JSON files for `galley features apply`.
 */
import type { Contract } from '#sdk/client.ts'
import type { Thresholds } from './costs.ts'

type EventType = Contract['event_types.declare']['input']['body']
type View = Contract['views.apply']['input']['body']
type Feature = View['features'][string]
type FeatureSet = Contract['services.apply']['input']['body']
type Endpoint = Contract['endpoints.apply']['input']['body']

const amount = { type: 'decimal', scale: 2, min: 0 } as const
const text = { type: 'string', length_max: 64 } as const

export const EVENT_TYPES: Record<string, EventType> = {
  payment: {
    fields: {
      card_id: text,
      merchant_id: text,
      device_id: text,
      amount,
      country: text,
      online: { type: 'bool' },
      hour: { type: 'int', min: 0, max: 23 },
    },
    entities: { card: 'card_id', merchant: 'merchant_id', device: 'device_id' },
    online_days: 40,
  },
  customer: {
    fields: { card_id: text, home_country: text, age_days: { type: 'int', min: 0 } },
    entities: { card: 'card_id' },
  },
  shop: {
    fields: {
      merchant_id: text,
      kind: text,
      typical: amount,
      risk: { type: 'float', min: 0, max: 1 },
    },
    entities: { merchant: 'merchant_id' },
  },
}

const count = (window: string): Feature => ({ agg: 'count', window })
const of = (agg: Feature['agg'], field: string, window: string): Feature => ({
  agg,
  of: field,
  window,
})
/** History may be told long after it happened: then it counts all the same. */
const LATE = '60d'
const last = (field: string): Feature => ({ agg: 'last', of: field })

export const VIEWS: Record<string, View> = {
  card_velocity: {
    entity: 'card',
    event_type: 'payment',
    allowed_lateness: LATE,
    features: {
      payments_10m: count('10m'),
      payments_1h: count('1h'),
      payments_1d: count('1d'),
      spent_1h: of('sum', 'amount', '1h'),
      spent_1d: of('sum', 'amount', '1d'),
      merchants_1h: of('distinct', 'merchant_id', '1h'),
      average_7d: of('avg', 'amount', '7d'),
    },
  },
  device_velocity: {
    entity: 'device',
    event_type: 'payment',
    allowed_lateness: LATE,
    features: {
      payments_1d: count('1d'),
      cards_1d: of('distinct', 'card_id', '1d'),
      merchants_1d: of('distinct', 'merchant_id', '1d'),
    },
  },
  merchant_velocity: {
    entity: 'merchant',
    event_type: 'payment',
    allowed_lateness: LATE,
    features: { payments_1h: count('1h'), payments_1d: { ...count('1d'), hop: '15m' } },
  },
  customer: {
    entity: 'card',
    event_type: 'customer',
    allowed_lateness: LATE,
    features: { home_country: last('home_country'), age_days: last('age_days') },
  },
  shop: {
    entity: 'merchant',
    event_type: 'shop',
    allowed_lateness: LATE,
    features: { typical: last('typical'), risk: last('risk') },
  },
}

/** What a payment itself and the two profiles tell: all that a model without velocity can see. */
const PLAIN = {
  amount_log: 'log(request.amount + 1)',
  is_online: 'if(request.online, 1, 0)',
  at_hour: 'request.hour',
  abroad: 'if(request.country = customer.home_country, 0, 1)',
  risk: 'coalesce(shop.risk, 0)',
  typical_log: 'log(coalesce(shop.typical, 0) + 1)',
  age_log: 'log(coalesce(customer.age_days, 0) + 1)',
}

/** What has just happened to the card, the device and the merchant. */
const VELOCITY = {
  card_10m: 'card_velocity.payments_10m',
  card_1h: 'card_velocity.payments_1h',
  card_1d: 'card_velocity.payments_1d',
  spent_1h_log: 'log(coalesce(card_velocity.spent_1h, 0) + 1)',
  spent_1d_log: 'log(coalesce(card_velocity.spent_1d, 0) + 1)',
  merchants_1h: 'card_velocity.merchants_1h',
  against_average: 'log((request.amount + 1) / (coalesce(card_velocity.average_7d, 0) + 1))',
  device_1d: 'device_velocity.payments_1d',
  device_cards_1d: 'device_velocity.cards_1d',
  device_merchants_1d: 'device_velocity.merchants_1d',
  merchant_1h: 'merchant_velocity.payments_1h',
  merchant_rise: 'merchant_velocity.payments_1h / (1 + merchant_velocity.payments_1d / 24)',
}

export const SERVICE: FeatureSet = {
  features: Object.keys(VIEWS).map(view => `${view}:*`),
  request: {
    amount: { type: 'decimal', scale: 2 },
    country: { type: 'string' },
    online: { type: 'bool' },
    hour: { type: 'int' },
  },
  transforms: { ...PLAIN, ...VELOCITY },
}

/** The rows that the two models are shown, in this order. */
export const ROWS = {
  plain: Object.keys(PLAIN),
  velocity: [...Object.keys(PLAIN), ...Object.keys(VELOCITY)],
}

/** How payments are decided: what everybody would stop, and then by what mistakes cost (costs.ts). */
export function endpoint({ review, decline }: Thresholds): Endpoint {
  return {
    event_type: 'payment',
    gate: 'card',
    service: 'fraud',
    model: { name: 'fraud', tensor: 'features', output: 'score', features: ROWS.velocity },
    rules: [
      {
        name: 'many payments in minutes',
        when: 'card_velocity.payments_10m >= 8',
        answer: 'decline',
      },
      { name: 'device of many cards', when: 'device_velocity.cards_1d >= 10', answer: 'decline' },
      { name: 'high score', when: `score >= ${decline}`, answer: 'decline' },
      { name: 'raised score', when: `score >= ${review}`, answer: 'review' },
      // Without an answer a rule only gives a reason.
      { name: 'abroad', when: 'abroad = 1' },
      { name: 'busy shop', when: 'merchant_rise >= 5' },
    ].filter(({ when }) => !when.includes('Infinity')),
    otherwise: 'approve',
  }
}

/** As `galley features apply` takes it: `node examples/fraud/definitions.ts > fraud.json`. */
if (import.meta.main) {
  const all = { event_types: EVENT_TYPES, views: VIEWS, services: { fraud: SERVICE } }
  process.stdout.write(`${JSON.stringify(all, null, 2)}\n`)
}
