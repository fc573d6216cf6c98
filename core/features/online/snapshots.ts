/** What decisions were made by: kept for a retry, and until the log has been told. */
import type { ObjectSql } from '#core/deps.ts'
import type { Snapshot } from '#schemas/decision.ts'

/** As long as events are told apart from their repetitions. */
const KEPT = 32 * 86_400_000_000
/** More than are told at once, so that nothing piles up and nobody waits for long. */
const TRIMMED_MAX = 500

/** A decision by its place: the time of its event at the gate, which no other event has, and who judged. */
export type DecidedPlace = { knownAt: number; endpoint: string }
/** `snapshot` is its JSON, which is passed on as it is stored. */
export type Outgoing = DecidedPlace & { snapshot: string }

/** Snapshots are long and written for good: in the order of their time, each page is written once. */
export class Snapshots {
  readonly #sql: ObjectSql

  constructor(sql: ObjectSql) {
    this.#sql = sql
    sql.exec(
      `create table if not exists snapshots (
        known_at integer not null, endpoint text not null, snapshot text not null,
        primary key (known_at, endpoint)) without rowid`,
    )
    sql.exec(
      `create table if not exists outgoing (
        known_at integer not null, endpoint text not null,
        primary key (known_at, endpoint)) without rowid`,
    )
  }

  of({ knownAt, endpoint }: DecidedPlace): Snapshot | null {
    const [found] = this.#sql.exec<{ snapshot: string }>(
      'select snapshot from snapshots where known_at = ? and endpoint = ?',
      knownAt,
      endpoint,
    )
    return found ? JSON.parse(found.snapshot) : null
  }

  add(snapshot: Snapshot): void {
    const place = [snapshot.position.knownAt, snapshot.endpoint.name] as const
    this.#sql.exec('insert into snapshots values (?, ?, ?)', ...place, JSON.stringify(snapshot))
    this.#sql.exec('insert into outgoing values (?, ?)', ...place)
  }

  outgoing(max: number): Outgoing[] {
    return this.#sql.exec<Outgoing>(
      `select known_at as knownAt, endpoint, snapshot
       from outgoing join snapshots using (known_at, endpoint)
       order by known_at, endpoint limit ?`,
      max,
    )
  }

  sent({ knownAt, endpoint }: DecidedPlace): void {
    this.#sql.exec('delete from outgoing where known_at = ? and endpoint = ?', knownAt, endpoint)
  }

  /** Forgets what no retry can ask for any more, and has been told. */
  trim(now: number): void {
    this.#sql.exec(
      `delete from snapshots where (known_at, endpoint) in (
        select known_at, endpoint from snapshots
        where known_at < min(?, coalesce((select min(known_at) from outgoing), ?))
        order by known_at limit ${TRIMMED_MAX})`,
      now - KEPT,
      now,
    )
  }

  /** All decisions of the event that stands at this time. */
  remove(knownAt: number): void {
    this.#sql.exec('delete from snapshots where known_at = ?', knownAt)
    this.#sql.exec('delete from outgoing where known_at = ?', knownAt)
  }
}

/** The message by which the functions are told of a tenant's decisions. */
export function decidedMessage(tenantId: string, decided: readonly Outgoing[]): string {
  const snapshots = decided.map(({ snapshot }) => snapshot)
  return `{"tenantId":${JSON.stringify(tenantId)},"decided":[${snapshots.join(',')}]}`
}
