/**
 * A view in both ways over a log: by SQL, and by the function that computes it in an object. Answers are
 * compared to the bit, at the moments of some entities at which they change.
 */

import { compileForReading, type Row, valuesOf } from '#core/features/online/view.ts'
import { fieldColumn } from '#core/features/sql.ts'
import { sqlText } from '#core/sql-text.ts'
import type { Value } from '#schemas/event.ts'
import type { ViewPlan, ViewValues } from '#schemas/feature.ts'
import { type Database, quoted } from '../database.ts'
import type { Answer, Mismatch, Progress, Proof, Proven } from '../messages.ts'
import { MOMENTS_MAX, momentsOf } from './moments.ts'
import { askSql, type Question } from './questions.ts'
import { shrunk } from './shrink.ts'

/** An object reads the events of an entity one by one; so does this, of many entities. */
const EVENTS_PER_ENTITY_MAX = 5_000
const ENTITIES_AT_ONCE = 200
/** More of the same tell nobody more. */
const SHOWN_MAX = 20

/** Another one than that of the product is a fault that was planted. */
export type Kernel = (rows: readonly Row[], at: number) => ViewValues

export async function prove(
  database: Database,
  { view, log, asOf, questions }: Proof,
  report: (progress: Progress) => void,
  kernel: Kernel = kernelOf(view),
): Promise<Omit<Proven, 'spentUs'>> {
  const { keys, skipped } = await entitiesOf(database, { view, log, asOf, questions })
  const found = { entities: keys.length, skipped, questions: 0, values: 0, mismatches: 0 }
  const mismatches: Mismatch[] = []
  for (let from = 0; from < keys.length; from += ENTITIES_AT_ONCE) {
    const rows = await eventsOf(database, view, keys.slice(from, from + ENTITIES_AT_ONCE))
    const asked = [...rows].flatMap(([key, events]) =>
      momentsOf(view, events, asOf).map((at): Question => ({ key, at })),
    )
    const some = asked.slice(0, questions - found.questions)
    const answers = await askSql(database, view, 'proof_log', some)
    for (const [i, question] of some.entries()) {
      const events = rows.get(question.key)!
      const wrong = differences(view, answers[i]!, kernel(events, question.at))
      found.values += view.features.length
      found.mismatches += wrong.length
      for (const feature of wrong.slice(0, SHOWN_MAX - mismatches.length)) {
        const about = { view, question, feature, events }
        mismatches.push(await shrunk(database, about, kernel))
      }
    }
    found.questions += some.length
    report({ rowsTotal: Math.min(questions, keys.length * MOMENTS_MAX), rowsDone: found.questions })
  }
  return { found, mismatches }
}

export function kernelOf(view: ViewPlan): Kernel {
  const compiled = compileForReading(view)
  return (rows, at) => valuesOf(compiled, rows, at)
}

/** Indexes of the features whose answers are not the same, bit for bit. */
export function differences(
  { features }: ViewPlan,
  sql: readonly Answer[],
  { values, statuses }: ViewValues,
): number[] {
  return [...features.keys()].filter(
    i => !isSame(sql[i]!.value, values[i]!) || sql[i]!.status !== statuses[i],
  )
}

function isSame(a: unknown, b: unknown): boolean {
  if (!Array.isArray(a) || !Array.isArray(b)) return Object.is(a, b)
  return a.length === b.length && a.every((value, i) => Object.is(value, b[i]))
}

/** Makes `proof_log` of the entities that are looked at, those with late events or retractions and the others in turn. */
async function entitiesOf(
  database: Database,
  { view, log, asOf, questions }: Proof,
): Promise<{ keys: string[]; skipped: number }> {
  const max = Math.ceil(questions / 10)
  await database.run(`create table sizes as select entity_key, count(*) as events,
      count(*) filter (where retracted_at is not null or known_at - event_time > ${Math.floor(view.latenessMax / 10)}) as odd
    from ${log} where entity = '${view.entity}' and known_at <= ${asOf} group by entity_key`)
  const fits = `events <= ${EVENTS_PER_ENTITY_MAX}`
  await database.run(`create table chosen as select entity_key from (
      select entity_key, odd > 0 as is_odd,
        row_number() over (partition by odd > 0 order by md5(entity_key), entity_key) as place
      from sizes where ${fits}) order by place, is_odd desc, entity_key limit ${max}`)
  await database.run(`create table proof_log as select * replace (
      if(retracted_at <= ${asOf}, retracted_at, null) as retracted_at)
    from ${log} where entity = '${view.entity}' and known_at <= ${asOf}
      and entity_key in (select entity_key from chosen)`)
  const keys = await database.rows<[string]>('select entity_key from chosen')
  const [[skipped]] = (await database.rows<[bigint]>(
    `select count(*) from sizes where not (${fits})`,
  )) as [[bigint]]
  return { keys: keys.flat(), skipped: Number(skipped) }
}

/** Of each entity, in the order in which an object keeps them. */
async function eventsOf(
  database: Database,
  { fields }: ViewPlan,
  keys: readonly string[],
): Promise<Map<string, Row[]>> {
  const names = Object.keys(fields)
  const columns = names.map(name => `, ${quoted(fieldColumn(name))}`).join('')
  const listed = keys.map(sqlText).join(', ')
  const found = await database.rows<
    [string, ...unknown[]]
  >(`select entity_key, event_time, known_at, seq,
      retracted_at ${columns} from proof_log where entity_key in (${listed})
    order by entity_key, event_time, known_at, seq`)
  const rows = new Map(keys.map((key): [string, Row[]] => [key, []]))
  for (const [key, eventTime, knownAt, seq, retractedAt, ...values] of found) {
    rows.get(key)!.push({
      eventTime: Number(eventTime),
      knownAt: Number(knownAt),
      seq: Number(seq),
      retractedAt: retractedAt === null ? null : Number(retractedAt),
      data: Object.fromEntries(names.map((name, i) => [name, storedOf(values[i])])),
    })
  }
  return rows
}

function storedOf(value: unknown): Value {
  return typeof value === 'bigint' ? Number(value) : (value as Value)
}
