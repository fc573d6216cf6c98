/** The newest seq of each partition: in memory while a call counts, stored once at its end. */
import type { ObjectSql } from '#core/deps.ts'

export class Seqs {
  readonly #sql: ObjectSql
  readonly #known = new Map<number, number>()
  readonly #changed = new Set<number>()

  constructor(sql: ObjectSql) {
    this.#sql = sql
    sql.exec(
      'create table if not exists seqs (partition integer primary key, seq integer not null)',
    )
  }

  /** 0: nothing has been applied. */
  of(partition: number): number {
    const known = this.#known.get(partition)
    if (known !== undefined) return known
    const [found] = this.#sql.exec<{ seq: number }>(
      'select seq from seqs where partition = ?',
      partition,
    )
    const seq = found?.seq ?? 0
    this.#known.set(partition, seq)
    return seq
  }

  set(partition: number, seq: number): void {
    this.#known.set(partition, seq)
    this.#changed.add(partition)
  }

  /** What a call has counted becomes part of its transaction. */
  store(): void {
    for (const partition of this.#changed) {
      this.#sql.exec(
        'insert into seqs values (?, ?) on conflict (partition) do update set seq = excluded.seq',
        partition,
        this.#known.get(partition)!,
      )
    }
    this.#changed.clear()
  }
}
