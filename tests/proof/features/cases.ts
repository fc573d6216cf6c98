/**
 * Cases by chance: a type of events, views over it, and a history in which events come late, twice, out of
 * order, from the future, are taken back before and after they come, and the object dies in between.
 */

import { hash128 } from '#core/events/sha256.ts'
import type { ViewDefinition } from '#schemas/contracts/features.ts'
import type { Event, EventType, Value } from '#schemas/event.ts'
import { type Random, randomOf } from '../../chaos/random.ts'
import { type Filter, filterOf } from './filters.ts'

export const EVENT_TYPE: EventType = {
  type: 'payment',
  version: 1,
  fields: {
    card: { type: 'string' },
    shop: { type: 'string', optional: true },
    count: { type: 'int', optional: true },
    amount: { type: 'decimal', scale: 2, optional: true },
    ratio: { type: 'float', optional: true },
    country: { type: 'string', optional: true },
    online: { type: 'bool', optional: true },
    due: { type: 'time', optional: true },
  },
  entities: { card: 'card', pair: ['card', 'shop'] },
  online_days: 40,
}
const FIELDS = ['count', 'amount', 'ratio', 'country', 'online', 'due'] as const
const NUMBERS = ['count', 'amount', 'ratio']
const ORDERED = ['count', 'amount', 'ratio', 'country', 'due']
const WINDOWS = ['50ms', '1s', '7s', '1m', '10m']
const HOPS = ['7us', '10ms', '300ms', '1s']
const CARDS = ['c1', 'c2', 'ü😀']
const SHOPS = ['m1', 'm"2', null]

export type View = { name: string; definition: ViewDefinition; filter: Filter | null }
export type Step =
  | { do: 'send'; events: Event[]; crash: 'none' | 'before' | 'after' }
  | { do: 'clock'; ms: number }
  | { do: 'read'; card: string; shop: string }
export type Case = { seed: number; views: View[]; steps: Step[] }

/** Unix milliseconds at which every case begins. */
export const START_MS = Date.UTC(2026, 0, 1)

export function caseOf(seed: number): Case {
  const random = randomOf(seed)
  const views = Array.from({ length: random.int(1, 3) }, (_, i) => viewOf(random, `v${i}`))
  return { seed, views, steps: stepsOf(random, seed) }
}

function viewOf(random: Random, name: string): View {
  const filter = random.next() < 0.5 ? null : filterOf(random, 2)
  const features: ViewDefinition['features'] = {}
  for (let i = random.int(2, 6); i > 0; i--) features[`f${i}`] = featureOf(random)
  const definition: ViewDefinition = {
    entity: random.pick(['card', 'card', 'pair']),
    event_type: EVENT_TYPE.type,
    features,
    ...(filter && { filter: filter.text }),
    ...(random.next() < 0.5 && { allowed_lateness: random.pick(['20ms', '2s', '1m']) }),
  }
  return { name, definition, filter }
}

function featureOf(random: Random): ViewDefinition['features'][string] {
  const agg = random.pick([
    'count',
    'sum',
    'avg',
    'min',
    'max',
    'var',
    'last',
    'last',
    'first',
    'last_k',
    'distinct',
  ] as const)
  const window = random.pick(WINDOWS)
  const span =
    agg === 'last' && random.next() < 0.6
      ? random.next() < 0.6
        ? { ttl: window }
        : {}
      : random.next() < 0.4 && window !== '50ms' && window !== '10m'
        ? { window, hop: random.pick(window === '1m' ? HOPS.slice(1) : HOPS.slice(1, 3)) }
        : { window }
  if (agg === 'count') return { agg, ...span }
  const fields = {
    sum: NUMBERS,
    avg: NUMBERS,
    var: ['count', 'amount'],
    min: ORDERED,
    max: ORDERED,
  }
  const of = random.pick<string>(fields[agg as 'sum'] ?? FIELDS)
  return { agg, of, ...span, ...(agg === 'last_k' && { k: random.int(1, 4) }) }
}

function stepsOf(random: Random, seed: number): Step[] {
  const sent: Event[] = []
  const steps: Step[] = []
  let nowMs = START_MS
  let serial = 0
  for (let i = random.int(12, 30); i > 0; i--) {
    const chance = random.next()
    if (chance < 0.25) {
      // Now and then the machine's clock is set back.
      const ms =
        random.next() < 0.15
          ? -random.int(0, 3_000)
          : random.int(0, random.pick([5, 400, 5_000, 90_000]))
      nowMs += ms
      steps.push({ do: 'clock', ms })
    } else if (chance < 0.7) {
      const events = Array.from({ length: random.int(1, 5) }, () => {
        const isRepeat = sent.length > 0 && random.next() < 0.15
        const event = isRepeat ? random.pick(sent) : eventOf(random, seed, serial++, nowMs)
        if (!isRepeat) sent.push(event)
        return event
      })
      const dies = random.next()
      steps.push({
        do: 'send',
        events,
        crash: dies < 0.1 ? 'before' : dies < 0.2 ? 'after' : 'none',
      })
    } else steps.push({ do: 'read', card: random.pick(CARDS), shop: random.pick(['m1', 'm"2']) })
  }
  for (const card of CARDS) steps.push({ do: 'read', card, shop: 'm1' })
  return steps
}

function eventOf(random: Random, seed: number, serial: number, nowMs: number): Event {
  const key = keyOf(seed, serial)
  // Often a little ago, on a coarse grid so that times tie; sometimes long ago, sometimes to come.
  const ago = random.pick([0, 0, 1, 10, 50, 1_000, 1_000, 7_000, 60_000, -500, -2_000])
  const eventTime = (nowMs - ago) * 1_000 - (random.next() < 0.5 ? 0 : random.int(0, 3))
  const isRetraction = serial > 0 && random.next() < 0.15
  // Of an event that came, or of one that may still come.
  const target = random.next() < 0.8 ? random.int(0, serial - 1) : serial + random.int(1, 3)
  return {
    key,
    id: String(serial),
    source: 'proof',
    type: EVENT_TYPE.type,
    version: 1,
    eventTime,
    receivedAt: nowMs * 1_000,
    data: isRetraction ? {} : dataOf(random),
    retracts: isRetraction ? keyOf(seed, target) : null,
    bodyHash: key,
  }
}

export function keyOf(seed: number, serial: number): string {
  return hash128('proof', String(seed), String(serial))
}

function dataOf(random: Random): Record<string, Value> {
  const maybe = <T extends Value>(value: T) => (random.next() < 0.15 ? null : value)
  const large = [9_007_199_254_740_991, -9_007_199_254_740_991, 94_906_267]
  const int = () => (random.next() < 0.1 ? random.pick(large) : random.int(-300, 300))
  const floats = [0, 0.1, 0.2, 0.3, -0.1, 1e308, -1e308, 1e-320, 1e16, 3.3, 2 ** -30]
  return {
    card: random.pick(CARDS),
    shop: random.pick(SHOPS),
    count: maybe(int()),
    amount: maybe(int()),
    ratio: maybe(random.next() < 0.4 ? random.next() * 10 - 5 : random.pick(floats)),
    country: maybe(random.pick(['DE', 'FR', 'é', '😀', '\ue000', '', "it's"])),
    online: maybe(random.next() < 0.5),
    due: maybe((START_MS + random.int(0, 5)) * 1_000),
  }
}
