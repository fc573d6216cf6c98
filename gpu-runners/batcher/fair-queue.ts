/**
 * Requests that wait for a model, taken so that each tenant gets an equal share of its rows: every
 * tenant has a virtual time that grows by the rows it was served, and the one that lags is next
 * (start-time fair queueing; Goyal, Vin, Cheng 1996). The tenant that is next also chooses which
 * requests may share the batch: those of its own oldest request's key, of all tenants.
 */
import type { Ask } from './ask.ts'

export type Budget = { rowsMax: number; bytesMax: number }
/** Why a batch was closed: `full` by its budget, `drained` as nothing more waited, `key` others waited but could not join, `alone` it may not be shared. */
export type Reason = 'full' | 'drained' | 'key' | 'alone'
export type Taken = { asks: Ask[]; rows: number; reason: Reason }

type Lane = { asks: Ask[]; head: number }
type Tenant = { served: number; lanes: Map<string, Lane> }

export type FairQueue = {
  readonly rows: number
  readonly bytes: number
  readonly size: number
  push(ask: Ask): void
  /** The next batch; null when nothing is left. Asks that `isDead` are dropped on the way. */
  take(budget: Budget, isDead: (ask: Ask) => boolean): Taken | null
  /** Drops the dead wherever they wait. */
  sweep(isDead: (ask: Ask) => boolean): void
}

export function createFairQueue(): FairQueue {
  const tenants = new Map<string, Tenant>()
  let rows = 0
  let bytes = 0
  let size = 0
  /** Virtual time: where the tenant stood that was served last; newcomers start here. */
  let now = 0

  function remove(tenant: Tenant, key: string, lane: Lane): void {
    const ask = lane.asks[lane.head]!
    lane.asks[lane.head++] = undefined as never
    rows -= ask.rows
    bytes -= ask.bytes
    size -= 1
    if (lane.head === lane.asks.length) tenant.lanes.delete(key)
    else if (lane.head > 1024) {
      lane.asks.splice(0, lane.head)
      lane.head = 0
    }
  }

  /** The key of the lagging tenant's oldest request. */
  function seedKey(): string | null {
    let chosen: Tenant | undefined
    for (const [name, tenant] of tenants) {
      if (tenant.lanes.size === 0) {
        // One that left ahead of its share is remembered until the others have caught up.
        if (tenant.served <= now) tenants.delete(name)
      } else if (!chosen || tenant.served < chosen.served) chosen = tenant
    }
    if (!chosen) return null
    let key = ''
    let seq = Number.POSITIVE_INFINITY
    for (const [laneKey, lane] of chosen.lanes) {
      const oldest = lane.asks[lane.head]!.seq
      if (oldest < seq) {
        seq = oldest
        key = laneKey
      }
    }
    return key
  }

  /** The lagging tenant that has requests of this key and is not among those that no longer fit. */
  function next(key: string, full: Set<string>): [string, Tenant, Lane] | null {
    let chosen: [string, Tenant, Lane] | null = null
    for (const [name, tenant] of tenants) {
      const lane = tenant.lanes.get(key)
      if (!lane || full.has(name)) continue
      if (!chosen || tenant.served < chosen[1].served) chosen = [name, tenant, lane]
    }
    return chosen
  }

  function fill(key: string, budget: Budget, isDead: (ask: Ask) => boolean): Taken {
    const taken: Taken = { asks: [], rows: 0, reason: 'drained' }
    const full = new Set<string>()
    let takenBytes = 0
    for (let from = next(key, full); from; from = next(key, full)) {
      const [name, tenant, lane] = from
      const ask = lane.asks[lane.head]!
      if (isDead(ask)) {
        remove(tenant, key, lane)
        continue
      }
      const fits =
        taken.rows + ask.rows <= budget.rowsMax && takenBytes + ask.bytes <= budget.bytesMax
      if (taken.asks.length > 0 && !fits) {
        full.add(name)
        continue
      }
      remove(tenant, key, lane)
      now = Math.max(now, tenant.served)
      tenant.served += Math.max(1, ask.rows)
      taken.asks.push(ask)
      taken.rows += ask.rows
      takenBytes += ask.bytes
      if (ask.key === null) break
      if (taken.rows >= budget.rowsMax) full.add(name)
    }
    if (full.size > 0) taken.reason = 'full'
    else if (size > 0) taken.reason = 'key'
    return taken
  }

  /** Nothing waits: nobody is behind, so all start anew together. */
  function forget(): void {
    for (const tenant of tenants.values()) now = Math.max(now, tenant.served)
    tenants.clear()
  }

  return {
    get rows() {
      return rows
    },
    get bytes() {
      return bytes
    },
    get size() {
      return size
    },
    push(ask) {
      let tenant = tenants.get(ask.tenant)
      if (!tenant) {
        tenant = { served: now, lanes: new Map() }
        tenants.set(ask.tenant, tenant)
      }
      const key = ask.key ?? `\0alone ${ask.seq}`
      const lane = tenant.lanes.get(key)
      if (lane) lane.asks.push(ask)
      else tenant.lanes.set(key, { asks: [ask], head: 0 })
      rows += ask.rows
      bytes += ask.bytes
      size += 1
    },
    take(budget, isDead) {
      for (let key = seedKey(); key !== null; key = seedKey()) {
        const taken = fill(key, budget, isDead)
        if (size === 0) forget()
        if (taken.asks.length === 0) continue
        if (taken.asks[0]!.key === null) taken.reason = 'alone'
        return taken
      }
      return null
    },
    sweep(isDead) {
      for (const tenant of tenants.values()) {
        for (const [key, lane] of tenant.lanes) {
          const kept = lane.asks.slice(lane.head).filter(ask => {
            if (!isDead(ask)) return true
            rows -= ask.rows
            bytes -= ask.bytes
            size -= 1
            return false
          })
          if (kept.length === 0) tenant.lanes.delete(key)
          else tenant.lanes.set(key, { asks: kept, head: 0 })
        }
      }
    },
  }
}
