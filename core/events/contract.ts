/**
 * An event held against its contract: typed, complete, and with the keys by which it is known. What the
 * contract alone can refuse is refused here, at the edge, before anything is acknowledged.
 */
import type { FieldError } from '#core/error.ts'
import type { Event, EventType, Field, Placement, Value } from '#schemas/event.ts'
import { partitionOf } from './partition.ts'
import { hash128 } from './sha256.ts'
import { microsOf } from './time.ts'

/** What a sender said, by CloudEvents' names; everything of it may be wrong. */
export type RawEvent = {
  id?: unknown
  source?: unknown
  type?: unknown
  time?: unknown
  retracts?: unknown
  data?: unknown
}

const TEXT_MAX_DEFAULT = 1_000
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
  const data = retracted === null ? checkedData(eventType, raw.data, errors) : {}
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
      bodyHash: hash128(type, String(time), retracted ?? '', JSON.stringify(sorted(data))),
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

function checkedData(
  { type, fields }: EventType,
  data: unknown,
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
    const known = Object.keys(fields).join(', ')
    errors.push({
      pointer: `/data/${name}`,
      detail: `${type} has no field "${name}"; it has ${known}.`,
    })
  }
  for (const [name, field] of Object.entries(fields)) {
    const value = given[name]
    if (value !== undefined && value !== null) {
      const found = storedValue(field, value)
      if (typeof found === 'object') errors.push({ pointer: `/data/${name}`, detail: found.detail })
      else checked[name] = found
    } else if (field.default !== undefined && value === undefined) checked[name] = field.default
    else if (field.optional) checked[name] = null
    else
      errors.push({ pointer: `/data/${name}`, detail: `"${name}" is missing; ${type} needs it.` })
  }
  return checked
}

type Wrong = { detail: string }

/** The value in stored form, within the field's bounds; or what is wrong with it. */
export function storedValue(field: Field, value: unknown): Exclude<Value, null> | Wrong {
  const stored = typedValue(field, value)
  if (typeof stored === 'object') return stored
  const { enum: allowed, min, max, type, scale = 0 } = field
  if (allowed && !allowed.includes(stored as string | number)) {
    return { detail: `It must be one of ${allowed.map(each => shown(each, field)).join(', ')}.` }
  }
  if (typeof stored === 'number' && type !== 'time') {
    const unit = 10 ** scale
    if (min !== undefined && stored < min) return { detail: `It must be at least ${min / unit}.` }
    if (max !== undefined && stored > max) return { detail: `It must be at most ${max / unit}.` }
  }
  return stored
}

function shown(value: string | number, { type, scale = 0 }: Field): string {
  return type === 'decimal' ? String(Number(value) / 10 ** scale) : JSON.stringify(value)
}

function typedValue(field: Field, value: unknown): Exclude<Value, null> | Wrong {
  switch (field.type) {
    case 'int':
      return wholeOf(value, 0)
    case 'decimal':
      return wholeOf(value, field.scale ?? 0)
    case 'float':
      return typeof value === 'number' ? value + 0 : { detail: 'It must be a number.' }
    case 'bool':
      return typeof value === 'boolean' ? value : { detail: 'It must be true or false.' }
    case 'time': {
      const micros = typeof value === 'string' ? microsOf(value) : null
      return micros ?? { detail: 'It must be a time such as 2026-01-31T12:00:00Z.' }
    }
    case 'string': {
      const max = field.length_max ?? TEXT_MAX_DEFAULT
      if (typeof value !== 'string') return { detail: 'It must be a text.' }
      if (value.length > max) return { detail: `It must have at most ${max} characters.` }
      return isStorable(value) ? value : { detail: 'It holds characters that cannot be stored.' }
    }
  }
}

/** A number, or its digits, as a whole number of the last digit that is kept. */
function wholeOf(value: unknown, scale: number): number | Wrong {
  const kind =
    scale === 0 ? 'a whole number' : `a number with at most ${scale} digits after the point`
  const isGiven = typeof value === 'number' || typeof value === 'string'
  const [, sign, whole, fraction = ''] =
    /^(-?)(\d+)(?:\.(\d+))?$/.exec(isGiven ? String(value) : '') ?? []
  if (whole === undefined) return { detail: `It must be ${kind}.` }
  const digits = fraction.replace(/0+$/, '')
  if (digits.length > scale) return { detail: `It must be ${kind}.` }
  const unscaled = Number(whole + digits.padEnd(scale, '0'))
  if (!Number.isSafeInteger(unscaled)) return { detail: 'It is too large: 15 digits are exact.' }
  return sign ? 0 - unscaled : unscaled
}

/** PostgreSQL stores no U+0000, and UTF-8 has no half of a surrogate pair. */
function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed()
}

function sorted(data: Record<string, Value>): [string, Value][] {
  return Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1))
}
