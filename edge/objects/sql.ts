/** A Durable Object's storage as the synchronous SQL that objects are written for. */
import type { ObjectSql } from '#core/deps.ts'

export function sqlOf(storage: DurableObjectStorage): ObjectSql {
  return {
    exec: <Row>(query: string, ...values: (string | number | null)[]) =>
      storage.sql.exec(query, ...values).toArray() as Row[],
  }
}
