/**
 * The time of one object: every read and every commit takes a later one, in microseconds, also when the
 * machine's clock is set back and after a restart. A ceiling is stored ahead of use, and who comes next
 * starts at it: no commit is ever dated before a read that was answered.
 */
import type { Clock, ObjectSql } from '#core/deps.ts'

const AHEAD = 1_000_000

export class ObjectClock {
  readonly #sql: ObjectSql
  readonly #clock: Clock
  #last: number
  #ceiling: number

  constructor(sql: ObjectSql, clock: Clock) {
    this.#sql = sql
    this.#clock = clock
    sql.exec('create table if not exists clock (id integer primary key, ceiling integer not null)')
    const [stored] = sql.exec<{ ceiling: number }>('select ceiling from clock where id = 0')
    this.#ceiling = stored?.ceiling ?? 0
    this.#last = this.#ceiling
  }

  /** Later than all times before. */
  tick(): number {
    this.#last = Math.max(this.#last + 1, this.#clock.now() * 1_000)
    if (this.#last >= this.#ceiling) {
      this.#ceiling = this.#last + AHEAD
      this.#sql.exec(
        `insert into clock (id, ceiling) values (0, ?)
         on conflict (id) do update set ceiling = excluded.ceiling`,
        this.#ceiling,
      )
    }
    return this.#last
  }
}
