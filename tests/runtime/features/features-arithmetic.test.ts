/** Sums, averages and variances of features: exact inside, rounded once, whatever the order of events. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareScaled, compareText } from '#core/features/compare.ts'
import { ExactSum } from '#core/features/exact-sum.ts'
import { accumulator, finalize } from '#core/features/finalize.ts'
import { nearest, UNIT_BITS, unitsOf } from '#core/features/rounding.ts'
import type { Value } from '#schemas/event.ts'
import type { Aggregate, FeaturePlan, ValueType } from '#schemas/feature.ts'

const double = fc.double({ noNaN: true, noDefaultInfinity: true })
const safe = fc.maxSafeInteger()

function feature(aggregate: Aggregate, ofType: ValueType | null, k?: number): FeaturePlan {
  const span = { kind: 'sliding', length: 1 } as const
  return { name: 'f', aggregate, of: 'x', ofType, span, k, output: ofType ?? { type: 'int' } }
}

function computed(plan: FeaturePlan, values: Value[]) {
  const sum = accumulator(plan)
  for (const value of values) sum.add(value)
  return finalize(plan, sum.ir())
}

describe('the nearest double', () => {
  test('of a double is itself', () => {
    fc.assert(
      fc.property(double, value => {
        expect(nearest(unitsOf(value), 1n << BigInt(UNIT_BITS))).toBe(value + 0)
      }),
    )
  })

  test('of a fraction has no neighbour that is nearer', () => {
    const fraction = fc.tuple(
      fc.bigInt({ min: -(2n ** 90n), max: 2n ** 90n }),
      fc.bigInt({ min: 1n, max: 2n ** 90n }),
    )
    fc.assert(
      fc.property(fraction, ([numerator, denominator]) => {
        const found = nearest(numerator, denominator)
        const off = (value: number) => {
          const distance = unitsOf(value) * denominator - (numerator << BigInt(UNIT_BITS))
          return distance < 0n ? -distance : distance
        }
        for (const other of neighbours(found)) expect(off(found) <= off(other)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  test('of a fraction of whole numbers is what division gives', () => {
    const small = fc.integer({ min: 1, max: 2 ** 31 - 1 })
    fc.assert(
      fc.property(fc.integer(), small, (a, b) => {
        expect(nearest(BigInt(a), BigInt(b))).toBe(a / b + 0)
      }),
    )
  })
})

/** The doubles just below and above. */
function neighbours(value: number): number[] {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  const bits = view.getBigInt64(0)
  return [bits - 1n, bits + 1n].flatMap(each => {
    view.setBigInt64(0, each)
    const other = view.getFloat64(0)
    return Number.isFinite(other) ? [other] : []
  })
}

test('a sum of doubles is the sum of their whole units, in any order', () => {
  fc.assert(
    fc.property(fc.array(double, { maxLength: 40 }), values => {
      const expected = values.reduce((sum, value) => sum + unitsOf(value), 0n)
      for (const order of [values, values.toReversed(), values.toSorted((a, b) => a - b)]) {
        const sum = new ExactSum()
        for (const value of order) sum.add(value)
        expect(sum.units()).toBe(expected)
      }
    }),
  )
})

test('sums of integers are exact beyond what a double holds', () => {
  fc.assert(
    fc.property(fc.array(fc.option(safe), { minLength: 1, maxLength: 30 }), values => {
      const known = values.filter(value => value !== null)
      const sum = known.reduce((a, b) => a + BigInt(b), 0n)
      const squares = known.reduce((a, b) => a + BigInt(b) ** 2n, 0n)
      const n = BigInt(known.length)
      const type = { type: 'decimal', scale: 2 } as const
      const found = (aggregate: Aggregate) => computed(feature(aggregate, type), values)
      if (n === 0n) {
        for (const aggregate of ['sum', 'avg', 'var', 'min', 'max'] as const) {
          expect(found(aggregate)).toEqual({ value: null, status: 'NULL_VALUE' })
        }
        return
      }
      expect(BigInt(found('sum').value as number)).toBe(sum)
      expect(found('avg').value).toBe(nearest(sum, n * 100n))
      expect(found('var').value).toBe(nearest(n * squares - sum * sum, n * n * 10_000n))
      expect(found('min').value).toBe(Math.min(...known))
      expect(found('max').value).toBe(Math.max(...known))
    }),
  )
})

test('what was not there and what was null are told apart', () => {
  const int = { type: 'int' } as const
  expect(computed(feature('count', null), [])).toEqual({ value: 0, status: 'PRESENT' })
  expect(computed(feature('distinct', int), [])).toEqual({ value: 0, status: 'PRESENT' })
  expect(computed(feature('distinct', int), [1, null, 1, 2])).toEqual({
    value: 2,
    status: 'PRESENT',
  })
  for (const aggregate of ['sum', 'avg', 'var', 'min', 'max', 'last', 'first', 'last_k'] as const) {
    const plan = feature(aggregate, int, 2)
    expect(computed(plan, [])).toEqual({ value: null, status: 'NOT_FOUND' })
  }
  expect(finalize(feature('last', int), { n: 0, older: true, value: null }).status).toBe(
    'OUTSIDE_MAX_AGE',
  )
  expect(computed(feature('last', int), [3, null])).toEqual({ value: null, status: 'NULL_VALUE' })
  expect(computed(feature('first', int), [3, null]).value).toBe(3)
  expect(computed(feature('last_k', int, 2), [3, null, 4])).toEqual({
    value: [4, null],
    status: 'PRESENT',
  })
})

test('texts are in the order of their bytes', () => {
  const text = fc.string({ unit: 'binary', maxLength: 4 }).map(each => each.toWellFormed())
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(Math.sign(compareText(a, b))).toBe(
        Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))),
      )
    }),
  )
})

test('numbers of different scales compare without rounding', () => {
  const scale = fc.integer({ min: 0, max: 12 })
  fc.assert(
    fc.property(safe, scale, safe, scale, (a, scaleA, b, scaleB) => {
      const wide = BigInt(a) * 10n ** BigInt(scaleB) - BigInt(b) * 10n ** BigInt(scaleA)
      expect(compareScaled(a, scaleA, b, scaleB)).toBe(wide === 0n ? 0 : wide < 0n ? -1 : 1)
    }),
  )
})
