/** Contracts: what of an event is refused and where, what is stored of it, and by what it is known. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkedEvent, placementsOf, type RawEvent } from '#core/events/contract.ts'
import { hash128 } from '#core/events/sha256.ts'
import { microsOf, textOf } from '#core/events/time.ts'
import type { EventType, Field } from '#schemas/event.ts'

const NOW = Date.UTC(2026, 0, 31) * 1_000
const PAYMENT: EventType = {
  type: 'payment',
  version: 3,
  fields: {
    card: { type: 'string' },
    shop: { type: 'int', optional: true },
    amount: { type: 'decimal', scale: 2, min: 0, max: 1_000_000 },
    country: { type: 'string', enum: ['CH', 'DE'], default: 'CH' },
    score: { type: 'float', optional: true },
    online: { type: 'bool', default: false },
    booked: { type: 'time', optional: true },
  },
  entities: { card: 'card', shop: 'shop', pair: ['card', 'shop'] },
  online_days: 40,
}
const sent = (data: unknown, more: RawEvent = {}): RawEvent => ({
  id: '1',
  source: '/till/4',
  type: 'payment',
  data,
  ...more,
})
const check = (raw: RawEvent, type = PAYMENT) =>
  checkedEvent(type, raw, { tenantId: 'ten_a', receivedAt: NOW })
const fit = (raw: RawEvent, type = PAYMENT) => {
  const checked = check(raw, type)
  if ('errors' in checked) throw new Error(JSON.stringify(checked.errors))
  return checked.event
}
const pointers = (raw: RawEvent, type = PAYMENT) => {
  const checked = check(raw, type)
  return 'errors' in checked ? checked.errors.map(({ pointer }) => pointer) : []
}
const GOOD = { card: 'c', amount: 12.34 }

test('an event that fits is stored typed and complete', () => {
  const data = { ...GOOD, shop: 7, score: -0, booked: '2026-01-31T01:00:00.000001+01:00' }
  expect(fit(sent(data, { time: '2026-01-30T23:59:59.5Z' }))).toEqual({
    key: hash128('ten_a', '/till/4', '1'),
    id: '1',
    source: '/till/4',
    type: 'payment',
    version: 3,
    eventTime: NOW - 500_000,
    receivedAt: NOW,
    data: {
      card: 'c',
      shop: 7,
      amount: 1234,
      country: 'CH',
      score: 0,
      online: false,
      booked: NOW + 1,
    },
    retracts: null,
    bodyHash: expect.stringMatching(/^[0-9a-f]{32}$/),
  })
})

test.each<[string, RawEvent, string[]]>([
  ['attributes that are missing', { data: GOOD }, ['/id', '/source']],
  ['attributes of another type', sent(GOOD, { id: 1, time: 5 }), ['/id', '/time']],
  [
    'attributes that are empty or long',
    sent(GOOD, { id: '', source: 'x'.repeat(257) }),
    ['/id', '/source'],
  ],
  ['a day that there is not', sent(GOOD, { time: '2026-02-30T00:00:00Z' }), ['/time']],
  ['a time without a zone', sent(GOOD, { time: '2026-02-03T00:00:00' }), ['/time']],
  ['a time in seconds taken for text', sent(GOOD, { time: '1767225600' }), ['/time']],
  ['data that is a list', sent([]), ['/data']],
  ['data that is missing', sent(undefined), ['/data']],
  ['fields that are missing', sent({}), ['/data/card', '/data/amount']],
  ['a field that nobody declared', sent({ ...GOOD, 'a/~b': 1 }), ['/data/a~1~0b']],
  [
    'a field with an inherited name',
    sent(JSON.parse('{"card":"c","amount":1,"__proto__":1}')),
    ['/data/__proto__'],
  ],
  ['null where a value is needed', sent({ ...GOOD, card: null }), ['/data/card']],
  ['too many digits', sent({ ...GOOD, amount: 1.005 }), ['/data/amount']],
  ['under and over the bounds', sent({ ...GOOD, amount: -0.01 }), ['/data/amount']],
  ['over the bounds', sent({ ...GOOD, amount: '10000.01' }), ['/data/amount']],
  ['no member', sent({ ...GOOD, country: 'FR' }), ['/data/country']],
  ['a number that is none', sent({ ...GOOD, score: JSON.parse('1e999') }), ['/data/score']],
  ['a fraction of an int', sent({ ...GOOD, shop: 1.5 }), ['/data/shop']],
  ['an int past what is exact', sent({ ...GOOD, shop: 2 ** 53 }), ['/data/shop']],
  ['true as a text', sent({ ...GOOD, online: 'true' }), ['/data/online']],
  ['half a surrogate pair', sent({ ...GOOD, card: '\ud800' }), ['/data/card']],
  ['U+0000', sent({ ...GOOD, card: 'a\0' }), ['/data/card']],
  ['a long text', sent({ ...GOOD, card: 'x'.repeat(1_001) }), ['/data/card']],
  ['a key that no index holds', sent({ ...GOOD, card: '\u{1f4b3}'.repeat(300) }), ['/data/card']],
])('refused where it is wrong: %s', (_, raw, expected) => {
  expect(pointers(raw)).toEqual(expected)
})

test('data of more than its bound is refused whole', () => {
  const fields = Object.fromEntries(
    Array.from({ length: 8 }, (_, i): [string, Field] => [
      `f${i}`,
      { type: 'string', length_max: 10_000 },
    ]),
  )
  const type = { ...PAYMENT, fields, entities: {} }
  const data = Object.fromEntries(Object.keys(fields).map(name => [name, 'x'.repeat(9_000)]))
  expect(pointers(sent(data), type)).toEqual(['/data'])
})

describe('the same event', () => {
  const bodyOf = (data: object, type = PAYMENT, more = {}) => fit(sent(data, more), type).bodyHash
  const body = bodyOf(GOOD)

  test('has the same body however its numbers are written and its fields are ordered', () => {
    expect(bodyOf({ amount: '12.340', card: 'c' })).toBe(body)
    expect(bodyOf({ amount: 1234e-2, card: 'c' })).toBe(body)
  })
  test('has the same body under the next version of its contract', () => {
    const fields: Record<string, Field> = {
      extra: { type: 'int', default: 5 },
      ...PAYMENT.fields,
      later: { type: 'string', optional: true },
    }
    expect(bodyOf(GOOD, { ...PAYMENT, version: 4, fields })).toBe(body)
  })
  test('has another body when anything that was said differs', () => {
    const others = [
      bodyOf({ ...GOOD, amount: 12.35 }),
      bodyOf({ ...GOOD, shop: 1 }),
      bodyOf({ ...GOOD, country: 'CH' }),
      bodyOf(GOOD, PAYMENT, { time: '2026-01-31T00:00:00Z' }),
      bodyOf(GOOD, PAYMENT, { retracts: '0' }),
      bodyOf(GOOD, { ...PAYMENT, type: 'refund' }),
    ]
    expect(new Set([body, ...others]).size).toBe(7)
  })
  test('is not taken for one of another tenant, or one whose parts run together', () => {
    const keys = [
      hash128('ten_a', 'a-b', 'c'),
      hash128('ten_a', 'a', 'b-c'),
      hash128('ten_a', 'a-', 'bc'),
      hash128('ten_ab', '', 'c'),
      hash128('ten_a', '1:x', ''),
    ]
    expect(new Set(keys).size).toBe(keys.length)
  })
})

test('a retraction needs no data and names the event by its source and id', () => {
  const { retracts, data } = fit(sent(undefined, { id: 'r', retracts: '1' }))
  expect(retracts).toBe(fit(sent(GOOD)).key)
  expect(data).toEqual({})
})

test('an event has a place for each entity whose key it has', () => {
  const of = (data: object) =>
    placementsOf(PAYMENT, fit(sent({ ...GOOD, ...data }))).map(({ entity, entityKey }) => [
      entity,
      entityKey,
    ])
  expect(of({})).toEqual([['card', 'c']])
  expect(of({ shop: 7, card: '"' })).toEqual([
    ['card', '"'],
    ['shop', '7'],
    ['pair', '["\\"","7"]'],
  ])
})

test('decimals are taken digit by digit, and refused where a digit would be lost', () => {
  const field = { type: 'decimal', scale: 3 } as const
  const type = { ...PAYMENT, fields: { x: field }, entities: {} }
  const number = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.tuple(fc.maxSafeInteger(), fc.nat(6)).map(([n, scale]) => n / 10 ** scale),
    fc.tuple(fc.integer(), fc.nat(6)).map(([n, scale]) => `${n}e-${scale}`),
    fc.tuple(fc.maxSafeInteger(), fc.nat(99)).map(([n, rest]) => `${n}.${rest}`),
  )
  fc.assert(
    fc.property(number, x => {
      const checked = check(sent({ x }), type)
      const exact = thousandths(String(x))
      const isSafe = exact !== null && Number.isSafeInteger(Number(exact))
      const isExact =
        typeof x === 'string' || (exact !== null && exact < 10n ** 15n && exact > -(10n ** 15n))
      if (!isSafe || !isExact) expect(checked).toHaveProperty('errors')
      else expect('event' in checked && BigInt(checked.event.data.x as number)).toBe(exact)
    }),
    { numRuns: 2_000 },
  )
})

/** By long division of what is written; null when there is a remainder. */
function thousandths(text: string): bigint | null {
  const [mantissa, exponent = '0'] = text.toLowerCase().split('e') as [string, string?]
  const [whole, fraction = ''] = mantissa.split('.') as [string, string?]
  const digits = BigInt(whole + fraction)
  const power = Number(exponent) - fraction.length + 3
  if (power >= 0) return digits * 10n ** BigInt(power)
  const unit = 10n ** BigInt(-power)
  return digits % unit === 0n ? digits / unit : null
}

test('keys are SHA-256 of their parts with their lengths, cut to 128 bits', () => {
  const naive = (parts: string[]) =>
    createHash('sha256')
      .update(parts.map(part => `${part.length}:${part}`).join(''))
      .digest('hex')
      .slice(0, 32)
  const text = fc.string({ unit: 'binary', maxLength: 200 })
  fc.assert(
    fc.property(fc.array(text, { maxLength: 4 }), parts => hash128(...parts) === naive(parts)),
  )
  for (const length of [0, 50, 51, 52, 53, 54, 60, 61, 62, 115, 116, 4_000, 4_100, 70_000]) {
    expect(hash128('é'.repeat(length))).toBe(naive(['é'.repeat(length)]))
    expect(hash128('e'.repeat(length))).toBe(naive(['e'.repeat(length)]))
  }
})

test('times are read and written to the microsecond', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: Date.UTC(2200, 0) * 1_000 }), micros => {
      expect(microsOf(textOf(micros))).toBe(micros)
    }),
  )
  expect(textOf(NOW + 1)).toBe('2026-01-31T00:00:00.000001Z')
  expect(textOf(NOW + 1_000)).toBe('2026-01-31T00:00:00.001Z')
  expect(microsOf('2026-01-30t19:00:00.1234569-05:00')).toBe(NOW + 123_456)
  expect(microsOf('2024-02-29T00:00:00Z')).not.toBeNull()
  for (const wrong of ['2025-02-29T00:00:00Z', '2026-01-31T24:00:00Z', '2026-13-01T00:00:00Z']) {
    expect(microsOf(wrong)).toBeNull()
  }
})
