/** Events at the objects of their entities, all objects of a batch together. */
import type { ApplyAt, FeatureObjects } from '#core/deps.ts'
import type { EventType, Placement, Position } from '#schemas/event.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { Logged } from './rows.ts'

/** Placements of one call, which reads wait for: a commit costs as much as some hundred of them. */
const APPLIED_MAX = 1_000

/** An event with its placements, which for a retraction are those of what it takes back. */
export type Placeable = Logged & { type: EventType; placements: Placement[] }
/** `checkedAt`: when the log was asked for them, in Unix milliseconds. */
export type Unplaced = { events: Placeable[]; checkedAt: number }
/** Objects of a tenant that have failed, by their group: they are not asked again for as long as it is kept. */
export type FailedObjects = Map<number, unknown>

/** Each event at the objects of its entities: the positions that they gave, and the errors of those that failed. */
export async function applied(
  features: FeatureObjects,
  tenantId: TenantId,
  { events, checkedAt }: Unplaced,
  failed: FailedObjects,
): Promise<{ positions: Position[]; errors: unknown[] }> {
  const groups = new Map<number, Placement[]>()
  const onlineDays: Record<string, number> = {}
  for (const { type, placements } of events) {
    onlineDays[type.type] = Math.max(onlineDays[type.type] ?? 0, type.online_days)
    for (const placement of placements) {
      const group = Math.floor(placement.partition / features.partitionsPerObject)
      const others = groups.get(group)
      if (others) others.push(placement)
      else groups.set(group, [placement])
    }
  }
  const positions: Position[] = []
  for (let at = 0; ; at += APPLIED_MAX) {
    const calls: ApplyAt[] = []
    for (const [group, placements] of groups) {
      const some = placements.slice(at, at + APPLIED_MAX)
      if (some.length === 0 || failed.has(group)) continue
      calls.push({ group, input: { placements: some, checkedAt, onlineDays } })
    }
    if (calls.length === 0) break
    const outcomes = await features.applyAt(tenantId, calls)
    for (const [i, { group }] of calls.entries()) {
      const outcome = outcomes[i] ?? { error: new Error('an object has no outcome') }
      if ('error' in outcome) failed.set(group, outcome.error)
      else positions.push(...outcome.positions)
    }
  }
  const errors = [...groups.keys()].flatMap(group => (failed.has(group) ? [failed.get(group)] : []))
  return { positions, errors }
}
