/**
 * A third way to the same numbers: slow, plain, and from the definitions alone. It shares no code with
 * the compilers, the arithmetic or the expressions of the product.
 */
import type { Value } from '#schemas/event.ts'
import type { View } from './cases.ts'

/** An event at one entity, with the place that the object gave it. */
export type Fact = {
  eventTime: number
  knownAt: number
  seq: number
  /** When each of its retractions at this entity became known. */
  retractions: number[]
  data: Record<string, Value>
}
export type Answer = { value: Value | Value[]; status: string }
export type Knowledge = { mode: 'as_served' | 'as_corrected'; asOf: number | null }

const MICROS: Record<string, number> = { us: 1, ms: 1e3, s: 1e6, m: 6e7, h: 3.6e9, d: 8.64e10 }
const SCALE: Record<string, bigint> = { count: 1n, amount: 100n }

function micros(text: string): number {
  const unit = text.replace(/^\d+/, '')
  return Number.parseInt(text, 10) * MICROS[unit]!
}

export function answers(
  view: View,
  facts: readonly Fact[],
  t: number,
  knowledge: Knowledge,
): Record<string, Answer> {
  const { features, allowed_lateness: allowed } = view.definition
  const extents = Object.values(features).map(({ window, hop, ttl }) =>
    window ? micros(window) + (hop ? micros(hop) : 0) : ttl ? micros(ttl) : 0,
  )
  const lateness = allowed ? micros(allowed) : Math.max(...extents) || MICROS.d!
  const seen = facts
    .filter(fact => fact.eventTime < t && isKnown(fact, t, knowledge))
    .filter(fact => fact.knownAt - fact.eventTime <= lateness)
    .filter(fact => view.filter === null || view.filter.means(fact.data) === true)
    .toSorted((a, b) => a.eventTime - b.eventTime || a.knownAt - b.knownAt || a.seq - b.seq)
  return Object.fromEntries(
    Object.entries(features).map(([name, feature]) => [name, answer(feature, seen, t)]),
  )
}

function isKnown({ knownAt, retractions }: Fact, t: number, { mode, asOf }: Knowledge): boolean {
  const horizon = Math.min(mode === 'as_served' ? t : Infinity, asOf ?? Infinity)
  return knownAt <= horizon && !retractions.some(at => at <= horizon)
}

type Feature = View['definition']['features'][string]

function answer(feature: Feature, seen: readonly Fact[], t: number): Answer {
  const { agg, of, window, hop, ttl, k } = feature
  if (!window) {
    const newest = seen.at(-1)
    if (!newest) return { value: null, status: 'NOT_FOUND' }
    if (ttl && newest.eventTime < t - micros(ttl)) return { value: null, status: 'OUTSIDE_MAX_AGE' }
    return present(newest.data[of!] ?? null)
  }
  let from = BigInt(t) - BigInt(micros(window))
  if (hop) from -= ((from % BigInt(micros(hop))) + BigInt(micros(hop))) % BigInt(micros(hop))
  const inside = seen.filter(fact => BigInt(fact.eventTime) >= from)
  if (agg === 'count') return { value: inside.length, status: 'PRESENT' }
  const values = inside.map(({ data }) => data[of!] ?? null)
  const known = values.filter(value => value !== null)
  if (agg === 'distinct') {
    return { value: new Set(known.map(value => JSON.stringify(value))).size, status: 'PRESENT' }
  }
  if (inside.length === 0) return { value: null, status: 'NOT_FOUND' }
  if (agg === 'last') return present(values.at(-1)!)
  if (agg === 'first') return present(values[0]!)
  if (agg === 'last_k') return { value: values.slice(-k!).toReversed(), status: 'PRESENT' }
  if (known.length === 0) return { value: null, status: 'NULL_VALUE' }
  if (agg === 'min') return present(known.toSorted(byOrder)[0]!)
  if (agg === 'max') return present(known.toSorted(byOrder).at(-1)!)
  return present(sumOf(agg, of!, known as number[]))
}

function present(value: Value): Answer {
  return { value, status: value === null ? 'NULL_VALUE' : 'PRESENT' }
}

function byOrder(a: Value, b: Value): number {
  if (typeof a === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b as string))
  return a! < b! ? -1 : a! > b! ? 1 : 0
}

function sumOf(agg: string, of: string, values: number[]): Value {
  const n = BigInt(values.length)
  if (of === 'ratio') {
    const sum = values.reduce((total, value) => total + exact(value), 0n)
    const found = divided(sum, (agg === 'avg' ? n : 1n) * 2n ** 1100n)
    return Number.isFinite(found) ? found : null
  }
  const wide = values.map(value => BigInt(value))
  const sum = wide.reduce((a, b) => a + b, 0n)
  const scale = SCALE[of]!
  if (agg === 'sum') {
    return sum >= -9007199254740991n && sum <= 9007199254740991n ? Number(sum) : String(sum)
  }
  if (agg === 'avg') return divided(sum, n * scale)
  // The mean of the squared distances from the mean, in n-ths.
  const squared = wide.map(value => (n * value - sum) ** 2n).reduce((a, b) => a + b, 0n)
  return divided(squared, n ** 3n * scale ** 2n)
}

/** value × 2^1100, a whole number for every finite double. */
function exact(value: number): bigint {
  let scaled = value
  let shift = 1100
  // Halving and doubling are exact until the value is a whole number.
  while (!Number.isInteger(scaled) && shift > 0) {
    scaled *= 2
    shift--
  }
  return BigInt(scaled) << BigInt(shift)
}

/** The nearest double, by bisection over all of them in order; ties to the even one. */
function divided(numerator: bigint, denominator: bigint): number {
  if (numerator < 0n) return -divided(-numerator, denominator)
  const isBelow = (value: number) => exact(value) * denominator <= numerator << 1100n
  let [low, high] = [0n, 0x7fefffffffffffffn]
  if (isBelow(fromBits(high))) {
    const half = (exact(fromBits(high)) + exact(2 ** 970)) * denominator
    return numerator << 1100n >= half ? Infinity : fromBits(high)
  }
  while (high - low > 1n) {
    const middle = (low + high) / 2n
    if (isBelow(fromBits(middle))) low = middle
    else high = middle
  }
  const twice = (exact(fromBits(low)) + exact(fromBits(high))) * denominator
  const order = 2n * (numerator << 1100n) - twice
  const isUp = order > 0n || (order === 0n && low % 2n === 1n)
  return fromBits(isUp ? high : low)
}

function fromBits(bits: bigint): number {
  const view = new DataView(new ArrayBuffer(8))
  view.setBigUint64(0, bits)
  return view.getFloat64(0)
}
