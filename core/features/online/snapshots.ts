/** What decisions were made by: kept for a retry, and until the log has been told. */
import type { ObjectSql } from '#core/deps.ts'
import type { Snapshot } from '#schemas/decision.ts'

/** As long as events are told apart from their repetitions. */
const KEPT = 32 * 86_400_000_000
const TRIMMED_MAX = 500

export class Snapshots {
  readonly #sql: ObjectSql

  constructor(sql: ObjectSql) {
    this.#sql = sql
    sql.exec(
      `create table if not exists snapshots (
        event_key text not null, endpoint text not null, known_at integer not null,
        outgoing integer not null, snapshot text not null,
        primary key (event_key, endpoint)) without rowid`,
    )
    sql.exec(
      `create index if not exists snapshots_outgoing on snapshots (known_at) where outgoing = 1`,
    )
    sql.exec('create index if not exists snapshots_by_age on snapshots (known_at)')
  }

  of(eventKey: string, endpoint: string): Snapshot | null {
    const [found] = this.#sql.exec<{ snapshot: string }>(
      'select snapshot from snapshots where event_key = ? and endpoint = ?',
      eventKey,
      endpoint,
    )
    return found ? JSON.parse(found.snapshot) : null
  }

  add(snapshot: Snapshot): void {
    this.#sql.exec(
      'insert into snapshots values (?, ?, ?, 1, ?)',
      snapshot.event.key,
      snapshot.endpoint.name,
      snapshot.position.knownAt,
      JSON.stringify(snapshot),
    )
  }

  outgoing(max: number): Snapshot[] {
    const found = this.#sql.exec<{ snapshot: string }>(
      'select snapshot from snapshots where outgoing = 1 order by known_at limit ?',
      max,
    )
    return found.map(({ snapshot }) => JSON.parse(snapshot))
  }

  sent(eventKey: string, endpoint: string): void {
    this.#sql.exec(
      'update snapshots set outgoing = 0 where event_key = ? and endpoint = ?',
      eventKey,
      endpoint,
    )
  }

  trim(now: number): void {
    this.#sql.exec(
      `delete from snapshots where (event_key, endpoint) in (
        select event_key, endpoint from snapshots where known_at < ? and outgoing = 0 limit ${TRIMMED_MAX})`,
      now - KEPT,
    )
  }
}
