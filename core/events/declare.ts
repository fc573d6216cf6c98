/** Event types: declared once, changed only so that every event of before still fits. */
import { and, asc, desc, eq, gt, sql } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { cursorOf, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import { audit } from '#core/tenants/tenants.ts'
import type { EventTypeDefinition } from '#schemas/contracts/events.ts'
import type { EventType, Field } from '#schemas/event.ts'
import type { TenantId } from '#schemas/ids.ts'
import { eventTypes } from '#schemas/tables/events.ts'
import { mustFit, mustNotBeOurs } from './quality/declare.ts'
import { storedValue } from './value.ts'

type Row = typeof eventTypes.$inferSelect

/** The type as it is now: the same, its next version, or its first. Throws `conflict`, `invalid_definition`. */
export async function declare(
  unit: Unit,
  call: Call,
  input: EventTypeDefinition & { type: string },
) {
  const { tenantId } = call.caller
  const { type, ...definition } = input
  // Two declarations at once would both make the same next version.
  await unit.tx.execute(sql`select pg_advisory_xact_lock(hashtext(${`${tenantId} ${type}`}))`)
  const [newest] = await newestRows(unit, type)
  const next: EventType = {
    type,
    version: (newest?.version ?? 0) + 1,
    fields: Object.fromEntries(
      Object.entries(definition.fields).map(([name, field]) => [name, stored(name, field)]),
    ),
    entities: definition.entities,
    online_days: definition.online_days,
    ...(definition.checks && { checks: definition.checks }),
  }
  mustNotBeOurs(type)
  checkEntities(next)
  mustFit(next)
  if (newest) {
    if (isSame(newest.definition, next)) return shown(newest)
    mustBeCompatible(newest.definition, next)
  }
  const at = new Date(unit.clock.now())
  const row: Row = { tenantId, type, version: next.version, definition: next, createdAt: at }
  await unit.tx.insert(eventTypes).values(row)
  const detail = { version: next.version }
  await audit.record(unit, call, { action: 'event_types.declare', target: type, detail })
  return shown(row)
}

export async function types(unit: Unit, query: PageQuery) {
  const after = textPosition('event_types', query.cursor)
  const rows = await unit.tx
    .selectDistinctOn([eventTypes.type])
    .from(eventTypes)
    .where(after ? gt(eventTypes.type, after) : undefined)
    .orderBy(asc(eventTypes.type), desc(eventTypes.version))
    .limit(query.limit + 1)
  return pageOf(rows, query, row => cursorOf('event_types', row.type), shown)
}

export async function eventType(unit: Unit, { type }: { type: string }) {
  const [row] = await newestRows(unit, type)
  if (row) return shown(row)
  throw new AppError('not_found', { public: `There is no event type "${type}".` })
}

/** Null: it was never declared. */
export async function newestType(unit: Unit, type: string): Promise<EventType | null> {
  const [row] = await newestRows(unit, type)
  return row?.definition ?? null
}

/** Versions never change, so they are read once per process. */
const known = new Map<string, EventType>()
const KNOWN_MAX = 10_000

export async function typeAt(
  unit: Pick<Unit, 'tx'>,
  tenantId: TenantId,
  type: string,
  version: number,
): Promise<EventType> {
  const name = `${tenantId} ${type} ${version}`
  const held = known.get(name)
  if (held) return held
  const [row] = await unit.tx
    .select()
    .from(eventTypes)
    .where(and(eq(eventTypes.type, type), eq(eventTypes.version, version)))
  if (!row) throw new AppError('not_found', { internal: `no event type ${name}` })
  if (known.size >= KNOWN_MAX) known.clear()
  known.set(name, row.definition)
  return row.definition
}

async function newestRows(unit: Unit, type: string): Promise<Row[]> {
  return unit.tx
    .select()
    .from(eventTypes)
    .where(eq(eventTypes.type, type))
    .orderBy(desc(eventTypes.version))
    .limit(1)
}

type FieldDefinition = EventTypeDefinition['fields'][string]

/** Bounds, members and defaults in stored form. */
function stored(name: string, definition: FieldDefinition): Field {
  const at = `/fields/${name}`
  const { type, scale, optional, length_max } = definition
  if (scale !== undefined && type !== 'decimal')
    throw wrongAt(`${at}/scale`, 'scale is of decimals.')
  const bare: Field = {
    type,
    ...(type === 'decimal' && { scale: scale ?? 0 }),
    ...(length_max && { length_max }),
  }
  const value = (part: 'default' | 'min' | 'max' | 'enum', given: unknown) => {
    const found = storedValue(bare, given)
    if (typeof found !== 'object') return found
    throw wrongAt(`${at}/${part}`, `${JSON.stringify(given)}: ${found.detail}`)
  }
  for (const bound of ['min', 'max'] as const) {
    if (definition[bound] !== undefined && !['int', 'decimal', 'float'].includes(type)) {
      throw wrongAt(`${at}/${bound}`, `${bound} is of numbers.`)
    }
  }
  return {
    ...bare,
    ...(optional && { optional }),
    ...(definition.min !== undefined && { min: value('min', definition.min) as number }),
    ...(definition.max !== undefined && { max: value('max', definition.max) as number }),
    ...(definition.enum && { enum: definition.enum.map(each => value('enum', each) as string) }),
    ...(definition.default !== undefined && { default: value('default', definition.default) }),
  }
}

function checkEntities({ entities, fields }: EventType): void {
  for (const [entity, of] of Object.entries(entities)) {
    // It would be another text than the value alone, by which everybody would ask for it.
    if (Array.isArray(of) && of.length === 1) {
      const detail = `A key of one field is its name alone: write "${of[0]}", not a list.`
      throw wrongAt(`/entities/${entity}`, detail)
    }
    for (const field of typeof of === 'string' ? [of] : of) {
      const found = Object.hasOwn(fields, field) ? fields[field] : undefined
      if (!found)
        throw wrongAt(`/entities/${entity}`, `There is no field "${field}" to take the key from.`)
      if (!['int', 'string', 'bool'].includes(found.type)) {
        throw wrongAt(
          `/entities/${entity}`,
          `A key is an int, a string or a bool; "${field}" is ${found.type}.`,
        )
      }
    }
  }
}

/** Every event that fitted must fit, with the same entities. */
function mustBeCompatible(before: EventType, next: EventType): void {
  const wrong = (what: string) =>
    new AppError('conflict', {
      public: `${what} That would not fit events of before: declare another type, such as "${next.type}.v2".`,
    })
  for (const [name, field] of Object.entries(before.fields)) {
    const now = Object.hasOwn(next.fields, name) ? next.fields[name] : undefined
    if (!now) throw wrong(`The field "${name}" is gone.`)
    if (now.type !== field.type || now.scale !== field.scale)
      throw wrong(`The type of "${name}" has changed.`)
    if (!isWider(field, now)) throw wrong(`The field "${name}" takes less than before.`)
  }
  for (const [name, field] of Object.entries(next.fields)) {
    const isNew = !Object.hasOwn(before.fields, name)
    if (isNew && !field.optional && field.default === undefined) {
      throw wrong(`The new field "${name}" is neither optional nor has it a default.`)
    }
  }
  for (const [entity, of] of Object.entries(before.entities)) {
    if (JSON.stringify(next.entities[entity]) !== JSON.stringify(of)) {
      throw wrong(`The key of the entity "${entity}" has changed.`)
    }
  }
  if (next.online_days < before.online_days) throw wrong('online_days is smaller.')
}

function isWider(before: Field, now: Field): boolean {
  const isFree = (field: Field) => field.optional === true || field.default !== undefined
  return (
    (isFree(now) || !isFree(before)) &&
    (now.min === undefined || (before.min !== undefined && now.min <= before.min)) &&
    (now.max === undefined || (before.max !== undefined && now.max >= before.max)) &&
    (now.length_max ?? 1_000) >= (before.length_max ?? 1_000) &&
    (now.enum === undefined || (before.enum?.every(each => now.enum!.includes(each)) ?? false))
  )
}

function isSame(a: EventType, b: EventType): boolean {
  const content = ({ fields, entities, online_days, checks = {} }: EventType) =>
    JSON.stringify([sortedDeep(fields), sortedDeep(entities), online_days, sortedDeep(checks)])
  return content(a) === content(b)
}

/** The same for what means the same, in whatever order it was written. */
export function sortedDeep(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value
  const entries = Object.entries(value).map(([name, each]) => [name, sortedDeep(each)] as const)
  return entries.sort(([a], [b]) => (a < b ? -1 : 1))
}

/** As it was declared: bounds and members in units. */
function shown({ type, version, definition, createdAt }: Row) {
  const inUnits = ({ scale, ...field }: Field) => {
    const unit = 10 ** (scale ?? 0)
    const of = <T>(value: T) => (typeof value === 'number' ? value / unit : value)
    const { min, max, enum: members, default: preset, ...rest } = field
    return {
      ...rest,
      ...(scale !== undefined && { scale }),
      ...(min !== undefined && { min: of(min) }),
      ...(max !== undefined && { max: of(max) }),
      ...(members && { enum: members.map(of) }),
      ...(preset !== undefined && { default: of(preset) }),
    }
  }
  const fields = Object.entries(definition.fields).map(([name, field]) => [name, inUnits(field)])
  return {
    type,
    version,
    fields: Object.fromEntries(fields),
    entities: definition.entities,
    online_days: definition.online_days,
    ...(definition.checks && { checks: definition.checks }),
    created_at: createdAt.toISOString(),
  }
}

function wrongAt(pointer: string, detail: string): AppError {
  return new AppError('invalid_definition', { public: detail, errors: [{ pointer, detail }] })
}
