/** What an object keeps of events that must be forgotten: all of it goes, in the transaction of the call. */
import type { EraseEvents, ObjectSql } from '#core/deps.ts'
import type { Rows } from './rows.ts'
import type { Snapshots } from './snapshots.ts'

/** How many events were here. A second time there is nothing left, which is no error. */
export function erase(
  sql: ObjectSql,
  rows: Rows,
  snapshots: Snapshots,
  { entity, events }: EraseEvents,
): number {
  const all = [...events]
  if (entity) {
    const of = [entity.entity, entity.entityKey] as const
    const told = sql.exec<{ eventKey: string }>(
      'select event_key as eventKey from events where entity = ? and entity_key = ?',
      ...of,
    )
    for (const { eventKey } of told) all.push({ ...entity, eventKey })
    sql.exec('delete from tombstones where entity = ? and entity_key = ?', ...of)
  }
  const erased = new Set<string>()
  for (const { eventKey, entity, entityKey } of all) {
    const found = rows.remove(eventKey, entity, entityKey)
    if (found) erased.add(eventKey)
    // A decision stands where its event does at the gate.
    if (found) snapshots.remove(found.knownAt)
    sql.exec('delete from tombstones where event_key = ?', eventKey)
  }
  return erased.size
}
