/**
 * The events of entities as an object keeps them: on disk, and of those in use decoded and in order in
 * memory. A row is also what says that an event has been applied: it stays for as long as events repeat.
 */
import type { ObjectSql } from '#core/deps.ts'
import type { Placement, Value } from '#schemas/event.ts'

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
export type Applied = { seq: number; eventTime: number; knownAt: number; bodyHash: string }

export class Rows {
  readonly #sql: ObjectSql
  /** In order of use, the oldest first; each in the order of (eventTime, knownAt, seq). */
  readonly #held = new Map<string, Row[]>()
  #heldCount = 0
  #hasTombstones: boolean

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
    sql.exec(
      `create unique index if not exists events_by_key on events (event_key, entity, entity_key)`,
    )
    // Retractions that came before their event: it is hidden from the start when it comes.
    sql.exec(
      `create table if not exists tombstones (
        event_key text not null, entity text not null, entity_key text not null,
        known_at integer not null, primary key (event_key, entity, entity_key)) without rowid`,
    )
    this.#hasTombstones = sql.exec('select 1 from tombstones limit 1').length > 0
  }

  /** Where the event stands for this entity, if it has been applied. */
  applied(eventKey: string, entity: string, entityKey: string): Applied | null {
    const [found] = this.#sql.exec<{
      seq: number
      event_time: number
      known_at: number
      body_hash: string
    }>(
      'select seq, event_time, known_at, body_hash from events where event_key = ? and entity = ? and entity_key = ?',
      eventKey,
      entity,
      entityKey,
    )
    if (!found) return null
    const { seq, event_time: eventTime, known_at: knownAt, body_hash: bodyHash } = found
    return { seq, eventTime, knownAt, bodyHash }
  }

  /** False, and nothing is changed, when the event has been applied at this entity before. */
  add({ entity, entityKey, event }: Placement, seq: number, knownAt: number): boolean {
    const { key, type, eventTime, bodyHash, retracts, data } = event
    const retractedAt = retracts === null ? this.#buried(key, entity, entityKey) : null
    const added = this.#sql.exec(
      `insert into events values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       on conflict (event_key, entity, entity_key) do nothing returning seq`,
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
    if (added.length === 0) return false
    if (retracts !== null) this.#retract(retracts, entity, entityKey, knownAt)
    else this.#hold(entity, entityKey, type, { eventTime, knownAt, seq, retractedAt, data })
    return true
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

  /** At each of its entities. */
  remove(eventKey: string): void {
    this.#sql.exec('delete from events where event_key = ?', eventKey)
    this.release()
  }

  /** Forgets what neither a window nor a repetition can need any more. */
  trim(entity: string, entityKey: string, type: string, now: number, onlineDays: number): void {
    const before = forgottenBefore(now, onlineDays)
    const rows = this.#held.get(`${entity}\0${entityKey}\0${type}`)
    const oldest = rows?.[0]
    if (!rows || !oldest || oldest.eventTime >= before || oldest.knownAt >= before) return
    this.#sql.exec(
      `delete from events where entity = ? and entity_key = ? and type = ?
         and event_time < ? and known_at < ?`,
      entity,
      entityKey,
      type,
      before,
      before,
    )
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

  #buried(eventKey: string, entity: string, entityKey: string): number | null {
    if (!this.#hasTombstones) return null
    const [found] = this.#sql.exec<{ known_at: number }>(
      'select known_at from tombstones where event_key = ? and entity = ? and entity_key = ?',
      eventKey,
      entity,
      entityKey,
    )
    return found?.known_at ?? null
  }

  #retract(target: string, entity: string, entityKey: string, knownAt: number): void {
    const [found] = this.#sql.exec<{ type: string; seq: number; retracted_at: number | null }>(
      `select type, seq, retracted_at from events
       where event_key = ? and entity = ? and entity_key = ?`,
      target,
      entity,
      entityKey,
    )
    if (!found) {
      this.#hasTombstones = true
      this.#sql.exec(
        'insert into tombstones values (?, ?, ?, ?) on conflict do nothing',
        target,
        entity,
        entityKey,
        knownAt,
      )
      return
    }
    // The first retraction counts.
    if (found.retracted_at !== null) return
    this.#sql.exec(
      'update events set retracted_at = ? where event_key = ? and entity = ? and entity_key = ?',
      knownAt,
      target,
      entity,
      entityKey,
    )
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
