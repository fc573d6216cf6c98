/** The table of loans is the one that is named, and each of its rows is an event that its contract takes. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { EVENT_TYPES, LOANS, ROW, readLoans } from '../../../examples/fraud/loans/loans.ts'

const README = new URL('../../../examples/fraud/README.md', import.meta.url)

test('the table has the digest that its README names', () => {
  const digest = createHash('sha256').update(readFileSync(LOANS)).digest('hex')
  expect(readFileSync(README, 'utf8')).toContain(digest)
})

test('every loan has every field that is not optional, as the type that is declared', () => {
  const loans = readLoans()
  expect(loans).toHaveLength(9_857)
  expect(loans.filter(({ isBad }) => isBad)).toHaveLength(517)
  const fields = Object.entries(EVENT_TYPES.application!.fields)
  for (const { data } of loans) {
    for (const [name, { type, optional }] of fields) {
      const value = data[name]
      if (value === undefined) expect(optional, name).toBe(true)
      else if (type === 'string') expect(value).toMatch(/^l\d+$/)
      else expect(type === 'int' ? Number.isSafeInteger(value) : Number.isFinite(value)).toBe(true)
    }
    expect(Object.keys(data).every(name => name in EVENT_TYPES.application!.fields)).toBe(true)
  }
})

test('how a loan turned out is nothing that the models are shown', () => {
  expect(new Set(ROW).size).toBe(ROW.length)
  expect(readLoans().some(({ data }) => 'Class' in data || 'isBad' in data)).toBe(false)
})
