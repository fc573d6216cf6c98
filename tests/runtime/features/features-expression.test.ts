/** Expressions: what they mean, that SQL means the same, and what a builder is told who errs. */
import { DuckDBInstance } from '@duckdb/node-api'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError } from '#core/error.ts'
import { evaluator, filterSql, parseExpression, type Scope } from '#core/features/expression.ts'
import type { Value } from '#schemas/event.ts'

const scope: Scope = {
  amount: { type: 'decimal', scale: 2 },
  fee: { type: 'decimal', scale: 4 },
  count: { type: 'int' },
  ratio: { type: 'float' },
  country: { type: 'string' },
  online: { type: 'bool' },
  at: { type: 'time' },
  'card.recent': { type: 'int', list: true },
}
type Row = Record<string, Value>
const NOTHING: Row = Object.fromEntries(Object.keys(scope).map(name => [name, null]))

function value(text: string, row: Row = {}): Value {
  const run = evaluator<Row>(parseExpression(text, scope), name => each => each[name]!)
  return run({ ...NOTHING, ...row })
}

function told(text: string): string {
  try {
    parseExpression(text, scope)
  } catch (error) {
    if (error instanceof AppError) return error.public
    throw error
  }
  return 'nothing'
}

test.each<[string, Row, Value]>([
  ['amount > 10.5', { amount: 1051 }, true],
  ['amount > 10.5', { amount: 1050 }, false],
  ['amount = 10.50', { amount: 1050 }, true],
  ['amount > 10.505', { amount: 1051 }, true],
  ['amount = fee', { amount: 1050, fee: 105_000 }, true],
  ['amount * 2', { amount: 1050 }, 21],
  ['count / 2', { count: 5 }, 2.5],
  ['count / 0', { count: 5 }, null],
  ['-count + 1', { count: 5 }, -4],
  ['coalesce(amount, 0)', {}, 0],
  ['coalesce(amount, 1.5)', {}, 150],
  ['coalesce(amount, 1.555)', { amount: 150 }, 1.5],
  ['if(online, 1, 0)', { online: true }, 1],
  ['if(online, 1, 0)', {}, 0],
  ['log(amount + 1)', { amount: 171 }, Math.log(2.71)],
  ['log(0)', {}, null],
  ['max(count, ratio, 1)', { ratio: 2.5 }, 2.5],
  ['round(0 - 2.5)', {}, -3],
  ["lower(country) = 'de'", { country: 'DE' }, true],
  ['length(country)', { country: 'a😀' }, 2],
  ["country in ('DE', 'FR')", { country: 'FR' }, true],
  ["country not in ('DE', 'FR')", { country: 'FR' }, false],
  ["country in ('DE')", {}, null],
  ['country is null and not (count is null)', { count: 1 }, true],
  ["at >= '1970-01-01T00:00:01Z'", { at: 1_000_000 }, true],
])('%s of %j is %j', (text, row, expected) => {
  expect(value(text, row)).toBe(expected)
})

test('unknown is neither true nor false, and is decided by what decides', () => {
  const known = { count: 1 }
  expect(value('count = 1 or amount = 1', known)).toBe(true)
  expect(value('count = 2 or amount = 1', known)).toBe(null)
  expect(value('count = 2 and amount = 1', known)).toBe(false)
  expect(value('amount = 1 and count = 1', known)).toBe(null)
  expect(value('not (amount = 1)', known)).toBe(null)
})

describe('a builder who errs is told what and where', () => {
  test.each([
    [
      'amont > 1',
      'There is no amont here; there are amount, fee, count, ratio, country, online, at, card.recent (at character 1 of "amont > 1")',
    ],
    ['amount >', 'Here a value is expected, but it ends (at character 9 of "amount >")'],
    [
      'amount > 1 amount',
      'Here an operator or the end is expected, but there is "amount" (at character 12 of "amount > 1 amount")',
    ],
    ['country > 5', 'string and int cannot be compared (at character 9 of "country > 5")'],
    ['country + 1', '"+" takes numbers, and this is string (at character 1 of "country + 1")'],
    [
      'amount and online',
      '"and" takes conditions, and this is decimal(2) (at character 1 of "amount and online")',
    ],
    [
      'amount = null',
      'A comparison with null is never true; write "is null" or "is not null" (at character 8 of "amount = null")',
    ],
    [
      'online < true',
      'Conditions are compared by = and != only (at character 8 of "online < true")',
    ],
    [
      'sqrt(amount)',
      'There is no function sqrt; there are abs, min, max, coalesce, if, log, floor, ceil, round, length, lower (at character 1 of "sqrt(amount)")',
    ],
    ['if(online, 1)', 'if takes 3 values, and here are 2 (at character 1 of "if(online, 1)")'],
    [
      'coalesce(country, 1)',
      'The values of coalesce must be of one type: string and int (at character 19 of "coalesce(country, 1)")',
    ],
    ["country = 'DE", 'A text is not closed (at character 11 of "country = \'DE")'],
    ['amount ? 1', '"?" means nothing here (at character 8 of "amount ? 1")'],
    [
      'card.recent > 1',
      'list of int and int cannot be compared (at character 13 of "card.recent > 1")',
    ],
    [
      "at > 'soon'",
      '"soon" is no time; write 2026-01-31T00:00:00Z (at character 6 of "at > \'soon\'")',
    ],
    [
      '12345678901234567890 > count',
      'A number has at most 15 digits (at character 1 of "12345678901234567890 > count")',
    ],
  ])('%s', (text, says) => {
    expect(told(text)).toBe(says)
  })

  test('nesting and length are bounded', () => {
    expect(told(`${'('.repeat(5_000)}1`)).toMatch(/at most 2000 characters/)
    expect(told(`${'('.repeat(500)}1${')'.repeat(500)}`)).toMatch(/nested at most 60 deep/)
    expect(told(`${'not '.repeat(400)}online`)).toMatch(/nested at most 60 deep/)
  })

  test('a filter does not calculate', () => {
    const text = 'amount + 1 > 2'
    expect(() => filterSql(parseExpression(text, scope), text, name => name)).toThrow(
      /does not calculate/,
    )
  })
})

const column: Record<string, string> = {
  amount: 'bigint',
  fee: 'bigint',
  count: 'bigint',
  ratio: 'double',
  country: 'varchar',
  online: 'boolean',
  at: 'bigint',
}
const word = fc.constantFrom('', 'DE', 'FR', "it's", 'é', '😀', '\ue000')
const literal: Record<string, fc.Arbitrary<string>> = {
  amount: fc.constantFrom('0', '1.5', '-1.55', '2.555', '90071992547409.91', '1e3'),
  fee: fc.constantFrom('0', '1.5', '0.0001', '-3'),
  count: fc.constantFrom('0', '1', '-1', '1.5', '9007199254740991', '1e300'),
  ratio: fc.constantFrom('0', '0.1', '-1', '1e-300', '0.30000000000000004'),
  country: word.map(text => `'${text.replaceAll("'", "''")}'`),
  at: fc.constantFrom("'1970-01-01T00:00:01Z'", "'2026-01-01T00:00:00Z'"),
}
const comparison = fc.constantFrom('=', '!=', '<', '<=', '>', '>=')
const leaf = fc.oneof(
  fc
    .constantFrom(...Object.keys(literal))
    .chain(name =>
      fc.tuple(fc.constant(name), comparison, literal[name]!).map(parts => parts.join(' ')),
    ),
  fc
    .constantFrom('amount', 'country', 'at')
    .chain(name =>
      fc
        .array(literal[name]!, { minLength: 1, maxLength: 3 })
        .map(items => `${name} in (${items.join(', ')})`),
    ),
  fc.constantFrom(...Object.keys(column)).map(name => `${name} is not null`),
  fc
    .tuple(
      fc.constantFrom('amount', 'fee', 'count', 'ratio'),
      comparison,
      fc.constantFrom('amount', 'fee', 'count', 'ratio'),
    )
    .map(parts => parts.join(' ')),
  fc.constantFrom('online', 'online = true', 'online != false'),
)
const filter = fc.letrec<{ tree: string }>(tie => ({
  tree: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc
      .tuple(tie('tree'), fc.constantFrom('and', 'or'), tie('tree'))
      .map(([a, op, b]) => `(${a}) ${op} (${b})`),
    tie('tree').map(each => `not (${each})`),
  ),
})).tree
const whole = fc.oneof(fc.integer({ min: -300, max: 300 }), fc.maxSafeInteger())
const row = fc.record({
  amount: fc.option(whole),
  fee: fc.option(whole),
  count: fc.option(whole),
  ratio: fc.option(
    fc.oneof(
      fc.constantFrom(0, 0.1, 0.3, 0.30000000000000004),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map(each => each + 0),
    ),
  ),
  country: fc.option(word),
  online: fc.option(fc.boolean()),
  at: fc.option(fc.constantFrom(0, 1_000_000, 1_767_225_600_000_000)),
})

test('a filter means the same here and in SQL, on every row', async () => {
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const names = Object.keys(column)
  await connection.run(
    `create table t (i integer, ${names.map(name => `"${name}" ${column[name]}`).join(', ')})`,
  )
  const rows = fc.sample(row, { numRuns: 200, seed: 5 }) as Row[]
  for (const [i, each] of rows.entries()) {
    await connection.run(
      `insert into t values (${[i, ...names.map(name => sqlOf(each[name]!))].join(', ')})`,
    )
  }
  await fc.assert(
    fc.asyncProperty(filter, async text => {
      const tree = parseExpression(text, scope)
      const run = evaluator<Row>(tree, name => each => each[name]!)
      const sql = `select i from t where ${filterSql(tree, text, name => `t."${name}"`)} order by i`
      const reader = await connection.runAndReadAll(sql)
      const here = rows.flatMap((each, i) => (run(each) === true ? [i] : []))
      expect(reader.getRows().flat(), text).toEqual(here)
    }),
    { numRuns: 300 },
  )
})

function sqlOf(value: Value): string {
  return typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value)
}
