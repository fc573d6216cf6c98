/**
 * An event held against its contract: typed, complete, and with the keys by which it is known. What the
 * contract alone can refuse is refused here, at the edge, before anything is acknowledged.
 */
import type { FieldError } from '#core/error.ts'
import type { Event, EventType, Placement, Value } from '#schemas/event.ts'
import { partitionOf } from './partition.ts'
import { guarded } from './quality/guard.ts'
import { hash128 } from './sha256.ts'
import { microsOf } from './time.ts'
import { isStorable, storedValue } from './value.ts'

export { storedValue }

/** What a sender said, by CloudEvents' names; everything of it may be wrong. */
export type RawEvent = {
  id?: unknown
  source?: unknown
  type?: unknown
  time?: unknown
  retracts?: unknown
  data?: unknown
}

/** Of one event's data, as JSON in UTF-8: it travels through queues. */
const DATA_BYTES_MAX = 65_536
/** Keys stand in an index, which takes 2,700 bytes with what is around them. */
const KEY_BYTES_MAX = 1_024
const NAMES_SHOWN = 20
/** Events of another year than about now are a unit mixed up. */
const TIME_MIN = Date.UTC(1970, 0, 2) * 1_000
const TIME_MAX = Date.UTC(2200, 0, 1) * 1_000

export type Checked = { event: Event } | { errors: FieldError[] }

/** Pointers are relative to the event. `receivedAt` in microseconds. */
export function checkedEvent(
  eventType: EventType,
  raw: RawEvent,
  { tenantId, receivedAt }: { tenantId: string; receivedAt: number },
): Checked {
  const errors: FieldError[] = []
  const id = attribute(raw.id, 'id', errors)
  const source = attribute(raw.source, 'source', errors)
  const time = timeOf(raw.time, errors)
  const retracted = raw.retracts === undefined ? null : attribute(raw.retracts, 'retracts', errors)
  const said: [string, Value][] = []
  const data = retracted === null ? checkedData(eventType, raw.data, said, errors) : {}
  if (retracted === null && errors.length === 0) errors.push(...guarded(eventType, data))
  const body = JSON.stringify(said.sort(byName))
  if (isLonger(body, DATA_BYTES_MAX)) {
    const detail = `The data of an event has at most ${DATA_BYTES_MAX} bytes as JSON.`
    errors.push({ pointer: '/data', detail })
  }
  if (errors.length > 0) return { errors }
  const { type, version } = eventType
  return {
    event: {
      key: eventKeyOf(tenantId, source, id),
      id,
      source,
      type,
      version,
      eventTime: time ?? receivedAt,
      receivedAt,
      data,
      retracts: retracted === null ? null : hash128(tenantId, source, retracted),
      // Of what was said, not of what a contract adds to it: a repetition is the same under the next version.
      bodyHash: hash128(type, String(time), retracted ?? '', body),
    },
  }
}

/** By which an event is known, however it comes. */
export function eventKeyOf(tenantId: string, source: string, id: string): string {
  return hash128(tenantId, source, id)
}

/** One placement for each entity that the event tells about; an entity without a key is left out. */
export function placementsOf(
  { entities }: EventType,
  event: Event,
  data: Event['data'] = event.data,
): Placement[] {
  return Object.entries(entities).flatMap(([entity, fields]) => {
    const entityKey = entityKeyOf(fields, data)
    if (entityKey === null) return []
    return [{ partition: partitionOf(entity, entityKey), entity, entityKey, event }]
  })
}

/** The text by which an entity is known; null when a part of its key is missing. */
export function entityKeyOf(fields: string | string[], data: Record<string, Value>): string | null {
  if (typeof fields === 'string') return keyText(data[fields] ?? null)
  const parts = fields.map(field => keyText(data[field] ?? null))
  return parts.includes(null) ? null : JSON.stringify(parts)
}

export function keyText(value: Value): string | null {
  return value === null ? null : String(value)
}

function attribute(value: unknown, name: string, errors: FieldError[]): string {
  const says = (detail: string) => {
    errors.push({ pointer: `/${name}`, detail })
    return ''
  }
  if (value === undefined) return says(`"${name}" is missing.`)
  if (typeof value !== 'string' || value === '')
    return says(`"${name}" must be a text that is not empty.`)
  if (value.length > 256) return says(`"${name}" has more than 256 characters.`)
  return isStorable(value) ? value : says(`"${name}" holds characters that cannot be stored.`)
}

function timeOf(value: unknown, errors: FieldError[]): number | null {
  if (value === undefined) return null
  const micros = typeof value === 'string' ? microsOf(value) : null
  if (micros !== null && micros >= TIME_MIN && micros < TIME_MAX) return micros
  errors.push({ pointer: '/time', detail: 'A time is written as 2026-01-31T12:00:00Z (RFC 3339).' })
  return null
}

/** The data in stored form, complete; and in `said` what of it the producer gave. */
function checkedData(
  { type, fields, entities }: EventType,
  data: unknown,
  said: [string, Value][],
  errors: FieldError[],
): Record<string, Value> {
  if (data === null || typeof data !== 'object' || Array.isArray(data)) {
    errors.push({ pointer: '/data', detail: `The data of ${type} must be a JSON object.` })
    return {}
  }
  const given = data as Record<string, unknown>
  const checked: Record<string, Value> = {}
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(fields, name)) continue
    const known = Object.keys(fields).slice(0, NAMES_SHOWN).join(', ')
    errors.push({
      pointer: `/data/${pointerPart(name)}`,
      detail: `${type} has no field "${name.slice(0, 100)}"; it has ${known}.`,
    })
  }
  for (const [name, field] of Object.entries(fields)) {
    const value = Object.hasOwn(given, name) ? given[name] : undefined
    const wrong = (detail: string) => errors.push({ pointer: `/data/${name}`, detail })
    if (value !== undefined && value !== null) {
      const found = storedValue(field, value)
      if (typeof found === 'object') wrong(found.detail)
      else {
        checked[name] = found
        said.push([name, found])
      }
    } else if (value === undefined && field.default !== undefined) checked[name] = field.default
    else if (field.optional || field.default !== undefined) {
      checked[name] = null
      if (value === null) said.push([name, null])
    } else wrong(`"${name}" is missing; ${type} needs it.`)
  }
  for (const [entity, of] of Object.entries(entities)) {
    if (!isLonger(entityKeyOf(of, checked) ?? '', KEY_BYTES_MAX)) continue
    const detail = `It makes a key of ${entity} of more than ${KEY_BYTES_MAX} bytes.`
    errors.push({ pointer: `/data/${typeof of === 'string' ? of : of[0]}`, detail })
  }
  return checked
}

function isLonger(text: string, bytesMax: number): boolean {
  // A UTF-16 unit is at most three bytes.
  return text.length * 3 > bytesMax && new TextEncoder().encode(text).length > bytesMax
}

/** RFC 6901 §3. */
function pointerPart(name: string): string {
  return name.slice(0, 100).replaceAll('~', '~0').replaceAll('/', '~1')
}

function byName([a]: [string, Value], [b]: [string, Value]): number {
  return a < b ? -1 : 1
}
