/** The proof's own eyes: what it must call a violation, and what it must not. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Told } from '../../proof/decisions/callers.ts'
import { violationsOf } from '../../proof/decisions/verdict.ts'

/** A history as it should be told, of payments of so many cents. */
function history(cents: number[]): Told[] {
  let spent = 0
  return cents.map((each, i) => {
    const told = { id: `p${i}`, cents: each, seq: i + 1, payments: i, spent, score: 0, answer: 'a' }
    spent += each
    return told
  })
}
const anyHistory = fc
  .array(fc.integer({ min: 1, max: 1e6 }), { minLength: 2, maxLength: 50 })
  .map(history)

test('of a history in order nothing is said', () => {
  fc.assert(
    fc.property(anyHistory, all => {
      expect(violationsOf(all)).toEqual([])
    }),
  )
})

test('a decision that saw one too many, one too few, other amounts or another place is seen', () => {
  const change = fc.constantFrom<(told: Told) => void>(
    told => told.payments++,
    told => told.payments--,
    told => told.spent++,
    told => told.seq++,
  )
  fc.assert(
    fc.property(anyHistory, fc.nat(), change, (all, at, wrong) => {
      wrong(all[at % all.length]!)
      expect(violationsOf(all).length).toBeGreaterThan(0)
    }),
  )
})

test('a payment that is missing, and one that stands twice, are seen', () => {
  fc.assert(
    fc.property(anyHistory, fc.nat(), (all, at) => {
      const i = at % (all.length - 1)
      expect(violationsOf(all.toSpliced(i, 1)).length).toBeGreaterThan(0)
      expect(violationsOf(all.toSpliced(i, 0, all[i]!)).length).toBeGreaterThan(0)
    }),
  )
})
