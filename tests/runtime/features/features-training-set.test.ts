/** Training sets: as reads were given, the same bytes again, and clear about a spine that does not fit. */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, expect, test } from 'vitest'
import type { AppError } from '#core/error.ts'
import { compileService, compileView } from '#core/features/compile.ts'
import type { Limits } from '#gpu-runners/features/messages.ts'
import { type TrainingSet, withTrainingSet } from '#gpu-runners/features/training-set.ts'
import type { FeatureValue, ServicePlan, ViewPlan } from '#schemas/feature.ts'
import { caseOf, EVENT_TYPE } from '#tests/proof/features/cases.ts'
import { factsOf } from '#tests/proof/features/offline.ts'
import { type Played, play } from '#tests/proof/features/run.ts'

const CASES = 6
const SQL_TYPES = {
  int: 'bigint',
  decimal: 'bigint',
  time: 'bigint',
  float: 'double',
  string: 'varchar',
  bool: 'boolean',
}
const folder = mkdtempSync(join(tmpdir(), 'galley-sets-'))
const entities: TrainingSet['entities'] = {
  card: [[{ name: 'card', type: 'string' }]],
  pair: [
    [
      { name: 'card', type: 'string' },
      { name: 'shop', type: 'string' },
    ],
  ],
}
const limits: Limits = { memoryMb: 256, threads: 2 }
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function writeLines(name: string, rows: object[]): string {
  const path = join(folder, name)
  writeFileSync(path, rows.map(row => `${JSON.stringify(row)}\n`).join(''))
  return path
}

/** The log of what was played, as a relation. */
function logOf(played: Played) {
  const fields = Object.entries(EVENT_TYPE.fields)
  const columns = {
    entity: 'varchar',
    entity_key: 'varchar',
    event_time: 'bigint',
    known_at: 'bigint',
    seq: 'bigint',
    retracted_at: 'bigint',
    ...Object.fromEntries(fields.map(([name, { type }]) => [`f_${name}`, SQL_TYPES[type]])),
  }
  const path = writeLines(
    'log.jsonl',
    factsOf(played).map(({ entity, entityKey, fact }) => ({
      entity,
      entity_key: entityKey,
      event_time: fact.eventTime,
      known_at: fact.knownAt,
      seq: fact.seq,
      retracted_at: fact.retractions.length > 0 ? Math.min(...fact.retractions) : null,
      ...Object.fromEntries(fields.map(([name]) => [`f_${name}`, fact.data[name] ?? null])),
    })),
  )
  const listed = Object.entries(columns).map(([name, type]) => `${name}: '${type}'`)
  return { path, sql: `read_json('log.jsonl', columns = {${listed.join(', ')}})` }
}

async function made(
  service: ServicePlan,
  played: Played,
  rows: object[],
  format: 'jsonl' | 'parquet' = 'jsonl',
) {
  const log = logOf(played)
  const set = {
    service,
    entities: Object.fromEntries(service.views.map(({ entity }) => [entity, entities[entity]!])),
    logs: { [EVENT_TYPE.type]: log.sql },
    spine: { file: 'spine.jsonl', format },
    knowledge: { mode: 'as_served' as const, asOf: null },
    statuses: true,
    files: { 'log.jsonl': log.path, 'spine.jsonl': writeLines('spine.jsonl', rows) },
  }
  const signal = new AbortController().signal
  return withTrainingSet(folder, set, signal, ({ bytes }) => all(bytes), { limits })
}

async function all(bytes: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes) chunks.push(chunk)
  return chunks
}

async function rowsOf(chunks: Uint8Array[]): Promise<Record<string, unknown>[]> {
  const path = join(folder, 'result.parquet')
  writeFileSync(path, Buffer.concat(chunks))
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const result = await connection.runAndReadAll(`select * from '${path}'`)
  connection.closeSync()
  return result.getRowObjects()
}

/** A value of Parquet in stored form. */
function storedOf(value: unknown): FeatureValue {
  if (typeof value === 'bigint') return Number(value)
  if (value === null || typeof value !== 'object') return value as FeatureValue
  if ('items' in value) return (value.items as unknown[]).map(each => storedOf(each) as null)
  const found = 'micros' in value ? value.micros : (value as { value: bigint }).value
  const number = Number(found)
  return Number.isSafeInteger(number) ? number : String(found)
}

test('a training set has what reads at its times were given, bit for bit', async () => {
  for (let seed = 500; seed < 500 + CASES; seed++) {
    const played = await play(caseOf(seed), folder)
    const rows = played.served.map(({ entity, entityKey, t }) => {
      const [card, shop] = entity === 'card' ? [entityKey, null] : JSON.parse(entityKey)
      return { card, shop, timestamp: t }
    })
    const found = await rowsOf(await made(played.plan, played, rows))
    expect(found.length).toBe(rows.length)
    for (const [i, { entity, read }] of played.served.entries()) {
      const views = played.plan.views.filter(view => view.entity === entity)
      for (const [j, { view, features }] of views.entries()) {
        for (const [k, { name, ofType }] of features.entries()) {
          const value = storedOf(found[i]![`${view}__${name}`])
          const at = `case ${seed}, row ${i}, ${view}.${name} of ${ofType?.type}`
          expect([at, value]).toEqual([at, read.views[j]!.values[k]])
          const status = found[i]![`${view}__${name}__status`]
          expect([at, status]).toEqual([at, read.views[j]!.statuses[k]])
        }
      }
    }
  }
}, 120_000)

const digest = (chunks: Uint8Array[]) =>
  createHash('sha256').update(Buffer.concat(chunks)).digest('hex')

async function spent(): Promise<ServicePlan> {
  const view: ViewPlan = await compileView(
    'spending',
    {
      entity: 'card',
      event_type: EVENT_TYPE.type,
      features: { spent: { agg: 'sum', of: 'amount', window: '10m' } },
    },
    EVENT_TYPE,
  )
  return compileService(
    'spending',
    {
      features: ['spending:*'],
      request: { price: { type: 'decimal', scale: 2 } },
      transforms: { share: 'request.price / coalesce(spending.spent, 1)' },
    },
    new Map([['spending', view]]),
  )
}

const row = { card: 'c1', timestamp: '2026-01-01T00:01:00Z', price: 12.34, label: true }

test('the same question has the same bytes, in the order of the spine, with what stood beside it', async () => {
  const played = await play(caseOf(501), folder)
  const service = await spent()
  const rows = [row, { ...row, card: 'nobody', label: false }, { ...row, card: null }, row]
  const [first, second] = [await made(service, played, rows), await made(service, played, rows)]
  expect(digest(first)).toBe(digest(second))
  const found = await rowsOf(first)
  expect(found.map(({ card, label }) => [card, label])).toEqual(
    rows.map(({ card, label }) => [card, label]),
  )
  expect(Object.keys(found[0]!)).toEqual([
    'card',
    'timestamp',
    'price',
    'label',
    'spending__spent',
    'spending__spent__status',
    'share',
    'share__status',
  ])
  expect(found[1]).toMatchObject({
    spending__spent: null,
    spending__spent__status: 'NOT_FOUND',
    share: 12.34,
  })
}, 60_000)

test('a spine that does not fit is refused with the column, the row and what was expected', async () => {
  const played = await play(caseOf(502), folder)
  const service = await spent()
  const refused = async (rows: object[]) => {
    const error = (await made(service, played, rows).catch(error => error)) as AppError
    expect(error.code).toBe('invalid_body')
    return error.public
  }
  const { price: _, ...short } = row
  const { card: __, ...nobody } = row
  expect(await refused([short])).toBe(
    'The spine has no column price; it has card, timestamp, label.',
  )
  expect(await refused([nobody])).toBe(
    'The spine has no column for the key of "card": it needs card; it has timestamp, price, label.',
  )
  expect(await refused([row, { ...row, timestamp: null }])).toBe(
    'Row 1 (from 0), column "timestamp": it is empty, and should be a time such as 2026-01-31T12:00:00Z.',
  )
  expect(await refused([row, row, { ...row, timestamp: 'yesterday' }])).toBe(
    'Row 2 (from 0), column "timestamp": "yesterday" is not a time such as 2026-01-31T12:00:00Z.',
  )
  expect(await refused([{ ...row, timestamp: 1_700_000_000 }])).toBe(
    'Row 0 (from 0), column "timestamp": "1700000000" is not a time in whole microseconds since 1970, such as 1769860800000000.',
  )
  expect(await refused([row, { ...row, price: 1.234 }])).toBe(
    'Row 1 (from 0), column "price": It must be a number with at most 2 digits after the point.',
  )
  expect(await refused([{ ...row, share: 1 }])).toContain('has the column share already')
  expect(await refused([row, [1]])).toContain('Row 1 (from 0) is ARRAY')
  expect(await refused([])).toBe('The spine has no rows.')
  const asParquet = await made(service, played, [row], 'parquet').catch(error => error)
  expect(asParquet.public).toMatch(/^The spine cannot be read as Parquet: .* "format": "jsonl"\.$/s)
}, 60_000)

test('labels in JSON keep their types: a text stays one, whatever it looks like', async () => {
  const played = await play(caseOf(502), folder)
  const service = await spent()
  const labels = [
    { day: '2026-01-31', large: 2 ** 53, mixed: 1, nested: { a: [1] }, none: null },
    { day: 'x', large: -1, mixed: 'one', nested: null, none: null, "it's": 'so' },
  ]
  const rows = labels.map(label => ({ ...row, ...label }))
  const found = await rowsOf(await made(service, played, rows))
  expect(found).toMatchObject([
    { day: '2026-01-31', large: 2n ** 53n, mixed: '1', nested: '{"a":[1]}', "it's": null },
    { day: 'x', large: -1n, mixed: 'one', nested: null, none: null, "it's": 'so' },
  ])
}, 60_000)
