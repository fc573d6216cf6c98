/**
 * Events as everything behind the edge sees them: checked against their contract, with typed values and
 * times in int64 microseconds UTC (safe integers here until the year 2255).
 */
/**
 * A value of a field as it is stored, compared and computed with. `int` is a safe integer; `decimal` its
 * unscaled value, a safe integer too (12.34 at scale 2 is 1234); `time` microseconds; `float` a double
 * that is finite. So each of them survives JSON, SQLite and a Durable Object's SQL bit for bit.
 */
export type Value = number | string | boolean | null

export const FIELD_TYPES = ['int', 'decimal', 'float', 'string', 'bool', 'time'] as const
export type FieldType = (typeof FIELD_TYPES)[number]

/** One field of an event's data, with the checks that each row must pass. */
export type Field = {
  type: FieldType
  /** Digits after the point; of `decimal` alone. */
  scale?: number
  optional?: true
  /** Taken where the field is missing, in stored form; makes the field optional. */
  default?: Value
  enum?: (string | number)[]
  min?: number
  max?: number
  length_max?: number
}

/** What is to hold of the events of a type: of each, or of those of a segment together. Bounds in units. */
export type Check =
  | { kind: 'null_rate'; field: string; max: number }
  | ({ kind: 'range'; field: string; min?: number; max?: number } & Severity)
  | ({ kind: 'set'; field: string; values: (string | number)[] } & Severity)
  | { kind: 'uniqueness'; fields: string[]; min: number }
  | { kind: 'volume'; min?: number; max?: number }
  | { kind: 'freshness'; max_s: number }
/** `reject`: an event against it is refused; `warn`: the share of such events is measured. */
export type Severity = { severity: 'reject' | 'warn'; max_share: number }

/** A contract of events: what their data holds, and which entities they tell something about. */
export type EventType = {
  type: string
  version: number
  fields: Record<string, Field>
  /** Entity → the field that holds its key, or several for a key of several parts. */
  entities: Record<string, string | string[]>
  /** Days for which the online state keeps the events of an entity: the longest window that views may use. */
  online_days: number
  /** By name. */
  checks?: Record<string, Check>
}

/** Of the types whose events are the rows of imported tables. */
export const TABLE_PREFIX = 'table.'

export type Event = {
  /** 128 bits in hex, from (tenant, source, id): the same event has the same key, however it comes. */
  key: string
  id: string
  source: string
  type: string
  version: number
  /** When it happened, by its producer. */
  eventTime: number
  /** When Galley took it. */
  receivedAt: number
  data: Record<string, Value>
  /** The key of the event that this one takes back; its own data then is empty. */
  retracts: string | null
  /** 128 bits in hex over everything that the producer said: the same key with another body is a conflict. */
  bodyHash: string
}

/** An event on its way to one of its entities. */
export type Placement = {
  partition: number
  entity: string
  entityKey: string
  event: Event
}

/** Where an event stands for one of its entities: assigned once, by the partition's single writer. */
export type Position = {
  eventKey: string
  entity: string
  entityKey: string
  partition: number
  /** Without a gap per partition, from 1. */
  seq: number
  /** As it was applied: the object's own time where the producer told none. */
  eventTime: number
  /** Microseconds; grows strictly with every commit and read of the object. */
  knownAt: number
}
