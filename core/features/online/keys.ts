/**
 * Where an event stands that has been applied: its type and time, by a hash of its key and entity. Keys
 * come in no order, so that each would touch a page of a sorted table alone; they are written one after
 * the other instead, held in memory meanwhile, and sorted in together.
 */
import type { ObjectSql } from '#core/deps.ts'

/** What the primary key of a row begins with, besides its entity. */
export type KeyPlace = { type: string; eventTime: number }

/** Sorted in together: enough that each page takes several, few enough that nobody waits for long. */
const RECENT_MAX = 16_384
const FNV_PRIME = 0x01000193

export class Keys {
  readonly #sql: ObjectSql
  readonly #recentMax: number
  readonly #recent = new Map<number, KeyPlace[]>()
  #recentCount = 0

  constructor(sql: ObjectSql, recentMax = RECENT_MAX) {
    this.#sql = sql
    this.#recentMax = recentMax
    sql.exec(
      `create table if not exists keys (
        hash integer not null, event_time integer not null, type text not null,
        primary key (hash, event_time, type)) without rowid`,
    )
    sql.exec(
      `create table if not exists recent_keys (
        hash integer not null, event_time integer not null, type text not null)`,
    )
    const recent = sql.exec<{ hash: number; event_time: number; type: string }>(
      'select hash, event_time, type from recent_keys',
    )
    for (const { hash, event_time: eventTime, type } of recent)
      this.#remember(hash, { type, eventTime })
  }

  /** Where it may stand: another event of the same hash is not told apart here. */
  find(eventKey: string, entity: string, entityKey: string): KeyPlace[] {
    const hash = hashOf(eventKey, entity, entityKey)
    const sorted = this.#sql.exec<KeyPlace>(
      'select type, event_time as eventTime from keys where hash = ?',
      hash,
    )
    const recent = this.#recent.get(hash)
    return recent ? [...recent, ...sorted] : sorted
  }

  add(eventKey: string, entity: string, entityKey: string, place: KeyPlace): void {
    const hash = hashOf(eventKey, entity, entityKey)
    const { eventTime, type } = place
    this.#sql.exec('insert into recent_keys values (?, ?, ?)', hash, eventTime, type)
    this.#remember(hash, place)
    if (this.#recentCount >= this.#recentMax) this.#sortIn()
  }

  remove(eventKey: string, entity: string, entityKey: string, place: KeyPlace): void {
    const hash = hashOf(eventKey, entity, entityKey)
    const { eventTime, type } = place
    const of = 'hash = ? and event_time = ? and type = ?'
    this.#sql.exec(`delete from keys where ${of}`, hash, eventTime, type)
    const recent = this.#recent.get(hash)
    if (!recent) return
    this.#sql.exec(`delete from recent_keys where ${of}`, hash, eventTime, type)
    const kept = recent.filter(one => one.eventTime !== eventTime || one.type !== type)
    this.#recentCount -= recent.length - kept.length
    if (kept.length > 0) this.#recent.set(hash, kept)
    else this.#recent.delete(hash)
  }

  #remember(hash: number, place: KeyPlace): void {
    const same = this.#recent.get(hash)
    if (same) same.push(place)
    else this.#recent.set(hash, [place])
    this.#recentCount++
  }

  #sortIn(): void {
    this.#sql.exec(
      `insert into keys select hash, event_time, type from recent_keys where true
       order by hash, event_time, type on conflict do nothing`,
    )
    this.#sql.exec('delete from recent_keys')
    this.#recent.clear()
    this.#recentCount = 0
  }
}

/**
 * 53 bits. The event's key is a hash already, in hex; its entity is mixed in by FNV-1a
 * (Fowler, Noll, Vo), since one event has a row at each of its entities.
 */
function hashOf(eventKey: string, entity: string, entityKey: string): number {
  let high = Number.parseInt(eventKey.slice(0, 8), 16)
  let low = Number.parseInt(eventKey.slice(8, 16), 16)
  for (const text of [entity, entityKey]) {
    for (let i = 0; i < text.length; i++) {
      low = Math.imul(low ^ text.charCodeAt(i), FNV_PRIME)
      high = Math.imul(high ^ low, FNV_PRIME)
    }
  }
  return (high & 0x1fffff) * 2 ** 32 + (low >>> 0)
}
