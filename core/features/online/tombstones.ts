/** Retractions that came before their event: it is hidden from the start when it comes. */
import type { ObjectSql } from '#core/deps.ts'

export class Tombstones {
  readonly #sql: ObjectSql
  #some: boolean

  constructor(sql: ObjectSql) {
    this.#sql = sql
    sql.exec(
      `create table if not exists tombstones (
        event_key text not null, entity text not null, entity_key text not null,
        known_at integer not null, primary key (event_key, entity, entity_key)) without rowid`,
    )
    this.#some = sql.exec('select 1 from tombstones limit 1').length > 0
  }

  /** When the retraction of the event became known, if one has come. */
  of(eventKey: string, entity: string, entityKey: string): number | null {
    if (!this.#some) return null
    const [found] = this.#sql.exec<{ known_at: number }>(
      'select known_at from tombstones where event_key = ? and entity = ? and entity_key = ?',
      eventKey,
      entity,
      entityKey,
    )
    return found?.known_at ?? null
  }

  /** The first counts. */
  add(eventKey: string, entity: string, entityKey: string, knownAt: number): void {
    this.#some = true
    this.#sql.exec(
      'insert into tombstones values (?, ?, ?, ?) on conflict do nothing',
      eventKey,
      entity,
      entityKey,
      knownAt,
    )
  }
}
