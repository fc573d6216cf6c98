/** What an object keeps of events that must be forgotten: all of it goes, in the transaction of the call. */
import type { EraseEvents, ObjectSql } from '#core/deps.ts'

/** How many events were here. A second time there is nothing left, which is no error. */
export function erase(sql: ObjectSql, { entity, eventKeys }: EraseEvents): number {
  const keys = new Set(eventKeys)
  if (entity) {
    const told = sql.exec<{ event_key: string }>(
      'select event_key from events where entity = ? and entity_key = ?',
      entity.entity,
      entity.entityKey,
    )
    for (const { event_key } of told) keys.add(event_key)
    sql.exec(
      'delete from tombstones where entity = ? and entity_key = ?',
      entity.entity,
      entity.entityKey,
    )
  }
  let erased = 0
  for (const key of keys) {
    const gone = sql.exec('delete from events where event_key = ? returning seq', key)
    if (gone.length > 0) erased++
    sql.exec('delete from tombstones where event_key = ?', key)
    sql.exec('delete from snapshots where event_key = ?', key)
  }
  return erased
}
