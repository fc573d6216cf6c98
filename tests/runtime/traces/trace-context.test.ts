/** Which trace a request belongs to, and whether it is recorded: by W3C's form, and by a ratio alike everywhere. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parentOf, stateOf } from '#platform/traces/context.ts'
import { isSampled, newSpanId, newTrace } from '#platform/traces/sampler.ts'

const digits = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length })
const almost = fc.oneof(
  digits(2),
  digits(16),
  digits(32),
  fc.constantFrom('00', 'ff', '0'.repeat(16), '0'.repeat(32), '-', '', 'A'.repeat(32), ' ', 'é'),
)
const sound = fc.tuple(fc.constantFrom('00', '01', 'cc', 'ff'), digits(32), digits(16), digits(2))
const header = fc.oneof(
  sound.map(parts => parts.join('-')),
  fc.tuple(sound, fc.string()).map(([parts, more]) => parts.join('-') + more),
  fc.array(almost, { maxLength: 6 }).map(parts => parts.join('-')),
  fc.string(),
)

/** The recommendation read letter by letter. */
function oracle(text: string) {
  const isHex = (part: string | undefined, length: number) =>
    part?.length === length && [...part].every(char => '0123456789abcdef'.includes(char))
  const parts = text.split('-')
  const [version, traceId, spanId, flags] = parts
  const isOfForm = isHex(version, 2) && isHex(traceId, 32) && isHex(spanId, 16) && isHex(flags, 2)
  if (!isOfForm || version === 'ff' || (version === '00' && parts.length > 4)) return null
  if (Number(`0x${traceId}`) === 0 || Number(`0x${spanId}`) === 0) return null
  return { traceId, spanId, isSampled: Number(`0x${flags}`) % 2 === 1 }
}

test('a traceparent is taken where the recommendation takes it, and ignored everywhere else', () => {
  fc.assert(
    fc.property(header, text => {
      expect(parentOf(text)).toEqual(oracle(text))
    }),
    { numRuns: 1_000 },
  )
  expect(parentOf(undefined)).toBeNull()
})

test.each([
  ['two headers joined', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01, 00-x`],
  ['capitals', `00-${'A'.repeat(32)}-${'b'.repeat(16)}-01`],
  ['a line behind it', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01\n`],
])('%s is no traceparent', (_, text) => {
  expect(parentOf(text)).toBeNull()
})

test('tracestate is passed on in its order, up to 512 characters of whole entries, or not at all', () => {
  expect(stateOf('rojo=00f067aa0ba902b7,congo=t61rcWkgMzE')).toBe(
    'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE',
  )
  expect(stateOf(' a=1 ,, \tb@c=2 ')).toBe('a=1,b@c=2')
  for (const text of ['', undefined, 'a', 'A=1', 'a=1,a=2', 'a==', 'a=é', 'a=1\n']) {
    expect(stateOf(text)).toBeUndefined()
  }
  const many = Array.from({ length: 33 }, (_, i) => `k${i}=v`)
  expect(stateOf(many.slice(1).join(','))).toBe(many.slice(1).join(','))
  expect(stateOf(many.join(','))).toBeUndefined()
  const long = Array.from({ length: 10 }, (_, i) => `k${i}=${'v'.repeat(100)}`)
  expect(stateOf(long.join(','))).toBe(long.slice(0, 4).join(','))
})

test('a parent decides where it is followed; a ratio decides alike for one id everywhere', () => {
  const parent = fc.record({ traceId: digits(32), spanId: digits(16), isSampled: fc.boolean() })
  const ratio = fc.double({ min: 0, max: 1, noNaN: true })
  fc.assert(
    fc.property(parent, ratio, ratio, (parent, a, b) => {
      expect(isSampled({ ratio: a, followsParent: true }, parent)).toBe(parent.isSampled)
      const [less, more] = [a, b].toSorted((x, y) => x - y) as [number, number]
      const of = (ratio: number) => isSampled({ ratio, followsParent: false }, parent)
      // What is sampled by the smaller ratio is by the larger one.
      if (of(less)) expect(of(more)).toBe(true)
      expect(of(0)).toBe(false)
      expect(of(1)).toBe(true)
      const random = BigInt(`0x${parent.traceId.slice(18, 31)}`)
      expect(of(a)).toBe(random >= BigInt(Math.round((1 - a) * 2 ** 52)))
    }),
  )
})

test('a trace that begins here is one that every place with the ratio would record', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, noNaN: true }), ratio => {
      for (let i = 0; i < 20; i++) {
        const traceId = newTrace({ ratio, followsParent: true })
        if (traceId === null) continue
        expect(traceId).toMatch(/^[0-9a-f]{32}$/)
        const parent = { traceId, spanId: newSpanId(), isSampled: false }
        expect(isSampled({ ratio, followsParent: false }, parent)).toBe(true)
      }
      expect(newTrace({ ratio: 0, followsParent: true })).toBeNull()
      expect(newTrace({ ratio: 1, followsParent: true })).not.toBeNull()
    }),
  )
})

test('about as many traces begin as the ratio says', () => {
  const begun = Array.from({ length: 20_000 }, () => newTrace({ ratio: 0.25, followsParent: true }))
  const share = begun.filter(id => id !== null).length / begun.length
  // Ten standard deviations around it.
  expect(Math.abs(share - 0.25)).toBeLessThan(0.031)
  expect(new Set(begun.filter(id => id !== null)).size).toBe(begun.filter(id => id).length)
})
