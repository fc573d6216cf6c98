/** Contracts of events, by their types. */
import type { Caller } from '#core/caller.ts'
import type { EventType } from '#schemas/event.ts'
import type { EdgeDeps } from './deps.ts'
import { TenantDirectory } from './fresh-cache.ts'
import type { Limiter } from './middleware/limits.ts'

const TYPES_MAX = 100_000

export class EventTypeDirectory extends TenantDirectory<{ type: EventType | null }, EventType> {
  constructor(deps: EdgeDeps, limits: Limiter) {
    const path = '/internal/events/type'
    super(deps, limits, { path, made: ({ type }) => type, entriesMax: TYPES_MAX })
  }

  /** Null: nobody declared it. */
  resolve(caller: Caller, type: string): Promise<EventType | null> {
    return this.find({ caller, name: type, input: { type } })
  }
}
