/** Proofs on a log: they agree where the product does, and say with one entity's events where it does not. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { Row } from '#core/features/online/view.ts'
import { fieldColumn } from '#core/features/sql.ts'
import { type Database, openDatabase } from '#gpu-runners/features/database.ts'
import { momentsOf } from '#gpu-runners/features/proof/moments.ts'
import { type Kernel, kernelOf, prove } from '#gpu-runners/features/proof/prove.ts'
import type { ViewPlan } from '#schemas/feature.ts'
import { caseOf, EVENT_TYPE } from '#tests/proof/features/cases.ts'
import { factsOf } from '#tests/proof/features/offline.ts'
import { type Played, play } from '#tests/proof/features/run.ts'

const folder = mkdtempSync(join(tmpdir(), 'galley-proofs-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const UNTIL = 4_102_444_800_000_000
const TYPES = {
  int: 'bigint',
  decimal: 'bigint',
  time: 'bigint',
  float: 'double',
  string: 'varchar',
  bool: 'boolean',
}
const fields = Object.entries(EVENT_TYPE.fields)

async function withLog<T>(played: Played, work: (database: Database) => Promise<T>): Promise<T> {
  const database = await openDatabase({ memoryMb: 256, threads: 1 })
  try {
    const columns = fields.map(([name, { type }]) => `${fieldColumn(name)} ${TYPES[type]}`)
    await database.run(`create table log (entity varchar, entity_key varchar, event_time bigint,
      known_at bigint, seq bigint, retracted_at bigint, ${columns.join(', ')})`)
    for (const { entity, entityKey, fact } of factsOf(played)) {
      const { eventTime, knownAt, seq, retractions, data } = fact
      const undone = retractions.length > 0 ? Math.min(...retractions) : null
      const values = fields.map(([name]) => data[name] ?? null)
      const row = [entity, entityKey, eventTime, knownAt, seq, undone, ...values]
      await database.run(`insert into log values (${row.map(literal).join(', ')})`)
    }
    return await work(database)
  } finally {
    database.close()
  }
}

function literal(value: unknown): string {
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`
  if (typeof value === 'number' && !Number.isInteger(value)) return `'${value}'::double`
  return String(value)
}

const proven = (played: Played, view: ViewPlan, kernel?: Kernel) =>
  withLog(played, database => {
    const about = { view, log: 'log', asOf: UNTIL, questions: 2_000 }
    return prove(database, about, () => {}, kernel)
  })

test('a view of the product agrees with itself at every moment that is asked about', async () => {
  let values = 0
  for (let seed = 900; seed < 904; seed++) {
    const played = await play(caseOf(seed), folder)
    for (const view of played.plan.views) {
      const { found, mismatches } = await proven(played, view)
      expect([seed, view.view, found.mismatches, mismatches]).toEqual([seed, view.view, 0, []])
      values += found.values
    }
  }
  expect(values).toBeGreaterThan(1_000)
}, 120_000)

test('a kernel that does not see retractions is found out, by an entity with one event', async () => {
  for (let seed = 900; ; seed++) {
    const played = await play(caseOf(seed), folder)
    const view = played.plan.views[0]!
    const blind: Kernel = (rows: readonly Row[], at) =>
      kernelOf(view)(
        rows.map(row => ({ ...row, retractedAt: null })),
        at,
      )
    const { found, mismatches } = await proven(played, view, blind)
    expect(mismatches.length).toBeLessThanOrEqual(20)
    const [first] = mismatches
    if (!first) continue
    expect(found.mismatches).toBeGreaterThanOrEqual(mismatches.length)
    expect(first.entity).toBe(view.entity)
    expect(first.events.length).toBeLessThanOrEqual(2)
    expect(first.events.some(({ retracted_at: at }) => at !== null)).toBe(true)
    expect(first.sql).not.toEqual(first.object)
    return
  }
}, 120_000)

test('moments are those at which an event comes into an answer and leaves it, none past the end', () => {
  const span = { kind: 'sawtooth' as const, length: 100, hop: 10 }
  const view = { features: [{ span }] } as unknown as ViewPlan
  const row: Row = { eventTime: 1_003, knownAt: 1_050, seq: 1, retractedAt: 1_080, data: {} }
  const expected = [1_003, 1_004, 1_049, 1_050, 1_079, 1_080, 1_109, 1_110]
  expect(momentsOf(view, [row], 2_000)).toEqual([...expected, 2_000])
  expect(momentsOf(view, [row], 1_060)).toEqual([1_003, 1_004, 1_049, 1_050, 1_060])
})
