/**
 * The events of entities as an object keeps them: on disk, and of those in use decoded and in order in
 * memory. A row is also what says that an event has been applied: it stays for as long as events repeat.
 */
import type { ObjectSql } from '#core/deps.ts'
import type { Placement, Value } from '#schemas/event.ts'
import { type KeyPlace, Keys } from './keys.ts'
import { Tombstones } from './tombstones.ts'

const DAY = 86_400_000_000
/** Longer than any sender repeats itself. */
const REPEATED_DAYS = 32
/** Decoded rows that are held; one takes some hundreds of bytes. */
const HELD_MAX = 150_000

export type Row = {
  eventTime: number
  knownAt: number
  seq: number
  /** When its retraction became known; null: it stands. */
  retractedAt: number | null
  data: Record<string, Value>
}
export type Applied = KeyPlace & { seq: number; knownAt: number; bodyHash: string }

const AT_PLACE = 'entity = ? and entity_key = ? and type = ? and event_time = ? and event_key = ?'

function atPlace(eventKey: string, entity: string, entityKey: string, place: KeyPlace) {
  return [entity, entityKey, place.type, place.eventTime, eventKey] as const
}

export class Rows {
  readonly #sql: ObjectSql
  readonly #keys: Keys
  readonly #tombstones: Tombstones
  /** In order of use, the oldest first; each in the order of (eventTime, knownAt, seq). */
  readonly #held = new Map<string, Row[]>()
  #heldCount = 0

  constructor(sql: ObjectSql) {
    this.#sql = sql
    sql.exec(
      `create table if not exists events (
        entity text not null, entity_key text not null, type text not null,
        event_time integer not null, known_at integer not null, seq integer not null,
        event_key text not null, body_hash text not null, retracts text, retracted_at integer,
        data text not null,
        primary key (entity, entity_key, type, event_time, known_at, seq)) without rowid`,
    )
    this.#keys = new Keys(sql)
    this.#tombstones = new Tombstones(sql)
  }

  /** Where the event stands for this entity, if it has been applied. */
  applied(eventKey: string, entity: string, entityKey: string): Applied | null {
    for (const place of this.#keys.find(eventKey, entity, entityKey)) {
      const [found] = this.#sql.exec<{ seq: number; known_at: number; body_hash: string }>(
        `select seq, known_at, body_hash from events where ${AT_PLACE}`,
        ...atPlace(eventKey, entity, entityKey, place),
      )
      if (!found) continue
      const { seq, known_at: knownAt, body_hash: bodyHash } = found
      return { ...place, seq, knownAt, bodyHash }
    }
    return null
  }

  /** The event must not have been applied at this entity before. */
  add({ entity, entityKey, event }: Placement, seq: number, knownAt: number): void {
    const { key, type, eventTime, bodyHash, retracts, data } = event
    const retractedAt = retracts === null ? this.#tombstones.of(key, entity, entityKey) : null
    this.#sql.exec(
      'insert into events values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      entity,
      entityKey,
      type,
      eventTime,
      knownAt,
      seq,
      key,
      bodyHash,
      retracts,
      retractedAt,
      JSON.stringify(data),
    )
    this.#keys.add(key, entity, entityKey, { type, eventTime })
    if (retracts !== null) this.#retract(retracts, entity, entityKey, knownAt)
    else this.#hold(entity, entityKey, type, { eventTime, knownAt, seq, retractedAt, data })
  }

  /** Events of one type for one entity, in order. `before`: older ones are of no use to anybody. */
  of(entity: string, entityKey: string, type: string): readonly Row[] {
    const name = `${entity}\0${entityKey}\0${type}`
    const held = this.#held.get(name)
    if (held) {
      // The most recently used goes last.
      this.#held.delete(name)
      this.#held.set(name, held)
      return held
    }
    const rows = this.#load(entity, entityKey, type)
    this.#held.set(name, rows)
    this.#heldCount += rows.length + 1
    this.#release()
    return rows
  }

  /** What was there, if it had been applied at this entity. */
  remove(eventKey: string, entity: string, entityKey: string): Applied | null {
    const found = this.applied(eventKey, entity, entityKey)
    if (!found) return null
    this.#sql.exec(
      `delete from events where ${AT_PLACE}`,
      ...atPlace(eventKey, entity, entityKey, found),
    )
    this.#keys.remove(eventKey, entity, entityKey, found)
    this.release()
    return found
  }

  /** Forgets what neither a window nor a repetition can need any more. */
  trim(entity: string, entityKey: string, type: string, now: number, onlineDays: number): void {
    const before = forgottenBefore(now, onlineDays)
    const rows = this.#held.get(`${entity}\0${entityKey}\0${type}`)
    const oldest = rows?.[0]
    if (!rows || !oldest || oldest.eventTime >= before || oldest.knownAt >= before) return
    const gone = this.#sql.exec<{ event_key: string; event_time: number }>(
      `delete from events where entity = ? and entity_key = ? and type = ?
         and event_time < ? and known_at < ? returning event_key, event_time`,
      entity,
      entityKey,
      type,
      before,
      before,
    )
    for (const { event_key: key, event_time: eventTime } of gone)
      this.#keys.remove(key, entity, entityKey, { type, eventTime })
    const kept = rows.filter(row => row.eventTime >= before || row.knownAt >= before)
    this.#heldCount -= rows.length - kept.length
    rows.splice(0, rows.length, ...kept)
  }

  #load(entity: string, entityKey: string, type: string): Row[] {
    const stored = this.#sql.exec<{
      event_time: number
      known_at: number
      seq: number
      retracted_at: number | null
      data: string
    }>(
      `select event_time, known_at, seq, retracted_at, data from events
       where entity = ? and entity_key = ? and type = ? and retracts is null
       order by event_time, known_at, seq`,
      entity,
      entityKey,
      type,
    )
    return stored.map(row => ({
      eventTime: row.event_time,
      knownAt: row.known_at,
      seq: row.seq,
      retractedAt: row.retracted_at,
      data: JSON.parse(row.data),
    }))
  }

  #hold(entity: string, entityKey: string, type: string, row: Row): void {
    const rows = this.#held.get(`${entity}\0${entityKey}\0${type}`)
    if (!rows) return
    let at = rows.length
    // What was just committed has the greatest known_at: only the event's own time can put it earlier.
    while (at > 0 && rows[at - 1]!.eventTime > row.eventTime) at--
    rows.splice(at, 0, row)
    this.#heldCount++
    this.#release()
  }

  /** Everything in memory; it is read again when it is needed. */
  release(): void {
    this.#held.clear()
    this.#heldCount = 0
  }

  #release(): void {
    for (const [name, rows] of this.#held) {
      if (this.#heldCount <= HELD_MAX || this.#held.size === 1) return
      this.#held.delete(name)
      this.#heldCount -= rows.length + 1
    }
  }

  #retract(target: string, entity: string, entityKey: string, knownAt: number): void {
    const found = this.applied(target, entity, entityKey)
    if (!found) {
      this.#tombstones.add(target, entity, entityKey, knownAt)
      return
    }
    // The first retraction counts.
    const retracted = this.#sql.exec(
      `update events set retracted_at = ? where ${AT_PLACE} and retracted_at is null returning seq`,
      knownAt,
      ...atPlace(target, entity, entityKey, found),
    )
    if (retracted.length === 0) return
    const held = this.#held.get(`${entity}\0${entityKey}\0${found.type}`)
    const row = held?.find(({ seq }) => seq === found.seq)
    if (row) row.retractedAt = knownAt
  }
}

/** Older than any window and any repetition: only nobody has come by to remove it. */
export function isForgotten(
  { eventTime, knownAt }: Pick<Applied, 'eventTime' | 'knownAt'>,
  now: number,
  onlineDays: number,
): boolean {
  const before = forgottenBefore(now, onlineDays)
  return eventTime < before && knownAt < before
}

function forgottenBefore(now: number, onlineDays: number): number {
  return now - Math.max(onlineDays, REPEATED_DAYS) * DAY
}
