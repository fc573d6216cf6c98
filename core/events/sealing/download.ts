/**
 * The log of a type as files for its owner: the segments as they lie, and what is not sealed as further
 * files, some thousand events each, that are made when they are asked for.
 */
import { sql } from 'drizzle-orm'
import * as blobKeys from '#core/blob-keys.ts'
import type { Call } from '#core/caller.ts'
import type { Blobs, Clock, Database, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { cursorOf, textPosition } from '#core/page.ts'
import { newId } from '#schemas/ids.ts'
import { newestType } from '../declare.ts'
import { microsOf } from '../time.ts'
import { newestNumber } from './export.ts'
import type { OpenSpool } from './files.ts'
import { sealedUpTo } from './lease.ts'
import { sealedSegments, shown } from './manifest.ts'
import { type LogRow, rowsByNumber, unsealedRows } from './rows.ts'

const PAGE_EVENTS = 2_000
/** Of one file. */
const FILE_EVENTS = 20_000
const DUE_MAX = 500
/** A cursor travels in a path, which a gateway takes with all headers in ten thousand bytes, and twice. */
const CURSOR_CHARS_MAX = 1_500

/** What is left to be read, as of the moment of the plan. */
type Rest = {
  type: string
  after: number
  to: number
  sealed: number
  from: number | null
  until: number | null
  due: number[]
}
/** In the cursor: `due` in rising order, each as what it is more than the one before, in base 36. */
type Carried = Omit<Rest, 'due'> & { due: string }
type Wanted = { type: string; from?: string; to?: string }

/** By the time of events: segments that overlap it are given whole. Throws `not_found`. */
export async function exportPlan(unit: Unit, { type: name, from, to }: Wanted) {
  const type = await newestType(unit, name)
  if (!type) throw new AppError('not_found', { public: `There is no event type "${name}".` })
  const low = from === undefined ? null : microsOf(from)
  const high = to === undefined ? null : microsOf(to)
  const sealed = await sealedUpTo(unit)
  const segments = (await sealedSegments(unit, { type: name })).filter(
    ({ rows, eventTimeFrom, eventTimeTo }) =>
      rows > 0 && (high === null || eventTimeFrom! < high) && (low === null || eventTimeTo! >= low),
  )
  const rest = await restOf(unit, { type: name, sealed, from: low, until: high })
  return {
    type: name,
    version: type.version,
    segments: segments.map(shown),
    rest: rest && cursorTo(rest),
  }
}

async function restOf(
  unit: Unit,
  about: Pick<Rest, 'type' | 'sealed' | 'from' | 'until'>,
): Promise<Rest | null> {
  const to = await newestNumber(unit)
  const late = await unit.tx.execute<{ number: string; due: boolean }>(sql`
    select k.number, r.due from event_retractions as r join event_keys as k on k.key = r.key
    order by r.due desc limit ${DUE_MAX + 1}`)
  const due = late.rows.filter(row => row.due).map(({ number }) => Number(number))
  if (due.length > DUE_MAX) throw tooManyDue()
  if (to === about.sealed && late.rows.length === 0) return null
  return { ...about, to, after: 0, due }
}

type Deps = { db: Database; blobs: Blobs; clock: Clock; openSpool: OpenSpool }

/** The next file: where it lies, and the cursor for the one after it. */
export async function exportRest(deps: Deps, { caller }: Call, input: { cursor: string }) {
  const { tenantId } = caller
  const rest = restIn(input.cursor)
  const inTenant = <T>(work: (unit: Unit) => Promise<T>) =>
    deps.db.tenant(tenantId, tx => work({ tx, clock: deps.clock }))
  const type = await inTenant(unit => newestType(unit, rest.type))
  if (!type) throw new AppError('not_found', { public: `There is no event type "${rest.type}".` })
  const spool = await deps.openSpool()
  try {
    const isIn = ({ event_time: time }: LogRow) =>
      (rest.from === null || time >= rest.from) && (rest.until === null || time < rest.until)
    let { after } = rest
    const add = (rows: LogRow[]) =>
      spool.add(rows.filter(row => row.type === type.type && isIn(row)))
    if (after === 0 && rest.due.length > 0) {
      await add(await inTenant(unit => rowsByNumber(unit, rest.due)))
    }
    let isLast = false
    for (let events = 0; events < FILE_EVENTS && !isLast; events += PAGE_EVENTS) {
      const rows = await inTenant(unit => unsealedRows(unit, { ...rest, after }, PAGE_EVENTS))
      isLast = new Set(rows.map(({ number }) => number)).size < PAGE_EVENTS
      after = rows.at(-1)?.number ?? after
      await add(rows)
    }
    const { sha256, bytes, content, facts } = await spool.segmentOf(type)
    const key = blobKeys.exported(tenantId, newId('export', deps.clock.now()))
    await deps.blobs.put(key, content(), { sha256, sizeMax: bytes })
    // What is due stands in the first file.
    const next = isLast ? null : cursorTo({ ...rest, after, due: [] })
    return { key, size: bytes, format: 'parquet' as const, rows: facts.rows, sha256, next }
  } finally {
    await spool.close()
  }
}

function tooManyDue(): AppError {
  return new AppError('conflict', {
    public: 'Many retractions are on their way into a segment; export in an hour.',
    retryable: true,
  })
}

function cursorTo({ due, ...rest }: Rest): string {
  const rising = due.toSorted((a, b) => a - b)
  const steps = rising.map((number, i) => (number - (rising[i - 1] ?? 0)).toString(36))
  const carried: Carried = { ...rest, due: steps.join('.') }
  const cursor = cursorOf('events_export', JSON.stringify(carried))
  if (cursor.length > CURSOR_CHARS_MAX) throw tooManyDue()
  return cursor
}

function restIn(cursor: string): Rest {
  const text = textPosition('events_export', cursor)
  try {
    const { due: steps, ...carried } = JSON.parse(text ?? '') as Carried
    let number = 0
    const due = steps === '' ? [] : steps.split('.').map(step => (number += parseInt(step, 36)))
    const numbers = [carried.after, carried.to, carried.sealed, ...due]
    if (typeof carried.type === 'string' && numbers.every(Number.isSafeInteger)) {
      return { ...carried, due }
    }
  } catch {}
  throw new AppError('invalid_cursor', {
    public: 'The cursor is not one of an export; take it from the reply of GET /v1/events/export.',
  })
}
