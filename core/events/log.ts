/** Reading the log: in the order in which events came into it, one by its name, and what was rejected. */
import { and, asc, desc, eq, gt, inArray, sql } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { cursorOf, numberPosition, type PageQuery, pageOf } from '#core/page.ts'
import type { EventType } from '#schemas/event.ts'
import { eventPositions, eventRejections, events } from '#schemas/tables/events.ts'
import { typeAt } from './declare.ts'
import { hash128 } from './sha256.ts'
import { textOf } from './time.ts'

type Row = typeof events.$inferSelect
type PositionRow = typeof eventPositions.$inferSelect

type Listed = PageQuery & { type?: string; newest?: 'true' | 'false' }

/** In the order of the log. `tail` is where to go on, also when there is no more for now. */
export async function list(unit: Unit, query: Listed) {
  const after = numberPosition('events', query.cursor)
  const isNewest = query.newest === 'true' && after === null
  const rows = await unit.tx
    .select()
    .from(events)
    .where(
      and(
        after === null ? undefined : gt(events.number, after),
        query.type === undefined ? undefined : eq(events.type, query.type),
      ),
    )
    .orderBy(isNewest ? desc(events.number) : asc(events.number))
    .limit(isNewest ? query.limit : query.limit + 1)
  if (isNewest) rows.reverse()
  const positions = await positionsOf(unit, rows)
  const types = await typesOf(unit, rows)
  const cursor = (row: Row) => cursorOf('events', row.number)
  const page = pageOf(rows, query, cursor, row => shown(row, positions, types))
  const last = rows[page.data.length - 1]
  return { ...page, tail: last ? cursor(last) : (query.cursor ?? cursorOf('events', 0)) }
}

export async function find(unit: Unit, { caller }: Call, input: { source: string; id: string }) {
  const key = hash128(caller.tenantId, input.source, input.id)
  const [row] = await unit.tx
    .select()
    .from(events)
    .where(
      sql`(${events.day}, ${events.number}) in (
        select day, number from event_keys where key = ${key}::uuid)`,
    )
  if (!row) {
    throw new AppError('not_found', {
      public: `There is no event with source "${input.source}" and id "${input.id}" in the log.`,
    })
  }
  return shown(row, await positionsOf(unit, [row]), await typesOf(unit, [row]))
}

export async function rejected(unit: Unit, query: PageQuery) {
  const after = numberPosition('event_rejections', query.cursor)
  const rows = await unit.tx
    .select()
    .from(eventRejections)
    .where(after === null ? undefined : gt(eventRejections.number, after))
    .orderBy(asc(eventRejections.number))
    .limit(query.limit + 1)
  return pageOf(
    rows,
    query,
    row => cursorOf('event_rejections', row.number),
    ({ number, at, source, id, type, code, detail }) => ({
      number,
      at: at.toISOString(),
      source,
      id,
      type,
      code,
      detail,
    }),
  )
}

async function positionsOf(unit: Unit, rows: Row[]): Promise<Map<string, PositionRow[]>> {
  const found = new Map<string, PositionRow[]>()
  if (rows.length === 0) return found
  const positions = await unit.tx
    .select()
    .from(eventPositions)
    .where(
      and(
        inArray(eventPositions.day, [...new Set(rows.map(({ day }) => day))]),
        inArray(
          eventPositions.number,
          rows.map(({ number }) => number),
        ),
      ),
    )
    .orderBy(asc(eventPositions.entity))
  for (const position of positions) {
    found.set(position.key, [...(found.get(position.key) ?? []), position])
  }
  return found
}

async function typesOf(unit: Unit, rows: Row[]): Promise<Map<string, EventType>> {
  const types = new Map<string, EventType>()
  for (const { tenantId, type, version } of rows) {
    const name = `${type} ${version}`
    if (!types.has(name)) types.set(name, await typeAt(unit, tenantId, type, version))
  }
  return types
}

/** Values as their sender wrote them: decimals in units, times as texts. */
export function inUnits({ fields }: EventType, data: Row['data']): Row['data'] {
  const entries = Object.entries(data).map(([name, value]) => {
    const field = fields[name]
    if (typeof value !== 'number' || !field) return [name, value]
    if (field.type === 'time') return [name, textOf(value)]
    return [name, value / 10 ** (field.scale ?? 0)]
  })
  return Object.fromEntries(entries)
}

function shown(row: Row, positions: Map<string, PositionRow[]>, types: Map<string, EventType>) {
  return {
    source: row.source,
    id: row.id,
    type: row.type,
    version: row.version,
    time: textOf(row.eventTime),
    received_at: textOf(row.receivedAt),
    retracts: row.retracts !== null,
    data: inUnits(types.get(`${row.type} ${row.version}`)!, row.data),
    positions: (positions.get(row.key) ?? []).map(position => ({
      entity: position.entity,
      entity_key: position.entityKey,
      partition: position.partition,
      seq: position.seq,
      known_at: textOf(position.knownAt),
    })),
  }
}
