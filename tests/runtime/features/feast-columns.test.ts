/** Values as Feast's feature server writes them: read back, they have the types that its clients take them for. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { columnText, givenText, writeAs } from '#edge/features/feast-columns.ts'

describe('one value', () => {
  test('of a float or a decimal has a point and is the same number, whatever its size', () => {
    const write = writeAs({ type: 'float' })
    const double = fc.double({ noNaN: true, noDefaultInfinity: true })
    fc.assert(
      fc.property(double, value => {
        const text = write(value)
        expect(text).toMatch(/^-?\d+(\.\d+)?(e[+-]\d+)?$/)
        expect(text).toMatch(/[.e]/)
        expect(JSON.parse(text)).toBe(Object.is(value, -0) ? 0 : value)
      }),
    )
    const cents = writeAs({ type: 'decimal', scale: 2 })
    expect([1500, 1234, -5, null].map(cents)).toEqual(['15.0', '12.34', '-0.05', 'null'])
    expect(cents('123456789012345678901')).toBe('1234567890123456789.01')
  })

  test('of an int has none, until int64 ends', () => {
    const write = writeAs({ type: 'int' })
    expect([0, -7, 2 ** 53 - 1, null].map(write)).toEqual(['0', '-7', '9007199254740991', 'null'])
    expect(write('9223372036854775807')).toBe('9223372036854775807')
    expect(write('9223372036854775808')).toBe('9223372036854775808.0')
    expect(write('-9223372036854775808')).toBe('-9223372036854775808')
    expect(write('-9223372036854775809')).toBe('-9223372036854775809.0')
  })

  test('of a time is its second; texts, bools and lists are JSON', () => {
    expect(writeAs({ type: 'time' })(1_767_323_045_999_999)).toBe('1767323045')
    expect(writeAs({ type: 'string' })('a "b"\n')).toBe('"a \\"b\\"\\n"')
    expect(writeAs({ type: 'bool' })(false)).toBe('false')
    const list = writeAs({ type: 'decimal', scale: 1, list: true })
    expect([[10, null, 15], [], null].map(list)).toEqual(['[1.0,null,1.5]', '[]', 'null'])
  })
})

test('a column has a value, a status and a time for each row, the epoch where there is none', () => {
  const column = {
    values: [1, null, 2],
    statuses: ['PRESENT' as const, 'NOT_FOUND' as const, 'PRESENT' as const],
    times: [1_767_323_045_500_000, null, 1_767_323_045_500_000],
  }
  expect(JSON.parse(columnText(column, writeAs({ type: 'int' })))).toEqual({
    values: [1, null, 2],
    statuses: column.statuses,
    event_timestamps: [
      '2026-01-02T03:04:05.500Z',
      '1970-01-01T00:00:00Z',
      '2026-01-02T03:04:05.500Z',
    ],
  })
})

test('a column that came with the request goes back as it came', () => {
  const values = ['c1', 7, true, ['a', 1]]
  const text = givenText(values)
  expect(JSON.parse(text)).toEqual({
    values,
    statuses: Array(4).fill('PRESENT'),
    event_timestamps: Array(4).fill('1970-01-01T00:00:00Z'),
  })
})
