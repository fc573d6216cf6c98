/**
 * Requests that wait for a model, taken so that each tenant gets its share of the rows, in proportion to
 * its weight: every tenant has a virtual time that grows by the rows it was served over its weight, and
 * the one that lags is next (start-time fair queueing; Goyal, Vin, Cheng 1996). The tenant that is next
 * also chooses which requests may share the batch: those of its own most urgent request's key, of all
 * tenants. Among its own a tenant's requests go by urgency, which grows with their age.
 */
import type { Ask, Waiting } from './ask.ts'
import { isBefore, Lane } from './lane.ts'
import { isBehind, Lagging, newTenant, type Tenant } from './tenants.ts'

export type Budget = {
  rowsMax: number
  bytesMax: number
  /** How long a run of so many rows takes. */
  runMs(rows: number): number
  /** How long a run may take that begins now and has this request in it; Infinity: as long as it likes. */
  roomMs(ask: Ask): number
}
/**
 * Why a batch was closed: `full_rows`, `full_bytes` by its budget; `deadline` one more row would have
 * made one of it late; `shape` others waited that could not join; `alone` it may not be shared; `idle`
 * the engine was free and this was all that waited.
 */
export type Reason = 'full_rows' | 'full_bytes' | 'deadline' | 'shape' | 'alone' | 'idle'
export type Taken = { asks: Ask[]; rows: number; reason: Reason }
type IsDead = (ask: Ask) => boolean

export type FairQueue = {
  readonly rows: number
  readonly bytes: number
  readonly size: number
  push(ask: Ask): void
  /** The next batch; null when nothing is left. Asks that `isDead` are dropped on the way. */
  take(budget: Budget, isDead: IsDead): Taken | null
  /** Drops the dead wherever they wait. */
  sweep(isDead: IsDead): void
  /** What waits of this tenant. */
  of(tenant: string): { rows: number; bytes: number }
  /** Rows that wait and would be served before such a request was, if nobody else came. */
  rowsBefore(one: Waiting): number
}

export function createFairQueue(): FairQueue {
  const tenants = new Map<string, Tenant>()
  let rows = 0
  let bytes = 0
  let size = 0
  /** Virtual time: where the tenant stood that was served last; newcomers start here. */
  let now = 0
  let tenantsSeen = 0

  function count(tenant: Tenant, ask: Ask, sign: 1 | -1): void {
    rows += sign * ask.rows
    bytes += sign * ask.bytes
    size += sign
    tenant.rows += sign * ask.rows
    tenant.bytes += sign * ask.bytes
    tenant.rowsByLevel[ask.level] = (tenant.rowsByLevel[ask.level] ?? 0) + sign * ask.rows
  }

  function remove(tenant: Tenant, key: string, lane: Lane): void {
    count(tenant, lane.shift(), -1)
    if (lane.size === 0) tenant.lanes.delete(key)
  }

  /** The key of the lagging tenant's most urgent request. */
  function seedKey(): string | null {
    let chosen: Tenant | undefined
    for (const tenant of tenants.values()) {
      if (tenant.lanes.size === 0) {
        // One that left ahead of its share is remembered until the others have caught up.
        if (tenant.served <= now) tenants.delete(tenant.name)
      } else if (!chosen || isBehind(tenant, chosen)) chosen = tenant
    }
    if (!chosen) return null
    let key: string | null = null
    let first: Ask | null = null
    for (const [laneKey, lane] of chosen.lanes) {
      const ask = lane.first()
      if (!first || isBefore(ask, first)) {
        first = ask
        key = laneKey
      }
    }
    return key
  }

  function fill(key: string, budget: Budget, isDead: IsDead): Taken {
    const taken: Taken = { asks: [], rows: 0, reason: 'idle' }
    let closed: Reason | null = null
    let takenBytes = 0
    let roomMs = Number.POSITIVE_INFINITY
    const lagging = new Lagging(tenants.values(), key)
    for (let tenant = lagging.first(); tenant; tenant = lagging.first()) {
      const lane = tenant.lanes.get(key)
      if (!lane) {
        lagging.drop()
        continue
      }
      const ask = lane.first()
      if (isDead(ask)) {
        remove(tenant, key, lane)
        continue
      }
      const mostMs = Math.min(roomMs, budget.roomMs(ask))
      const no = taken.asks.length > 0 ? whyNot(ask, mostMs) : null
      if (no) {
        closed ??= no
        lagging.drop()
        continue
      }
      remove(tenant, key, lane)
      now = Math.max(now, tenant.served)
      tenant.served += Math.max(1, ask.rows) / tenant.weight
      taken.asks.push(ask)
      taken.rows += ask.rows
      takenBytes += ask.bytes
      roomMs = mostMs
      if (ask.key === null) break
      if (taken.rows >= budget.rowsMax) {
        closed = 'full_rows'
        break
      }
      lagging.sink()
    }
    if (closed) taken.reason = closed
    else if (size > 0) taken.reason = 'shape'
    return taken

    function whyNot(ask: Ask, mostMs: number): Reason | null {
      const more = taken.rows + ask.rows
      if (more > budget.rowsMax) return 'full_rows'
      if (takenBytes + ask.bytes > budget.bytesMax) return 'full_bytes'
      return mostMs < Number.POSITIVE_INFINITY && budget.runMs(more) > mostMs ? 'deadline' : null
    }
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
        tenant = newTenant(ask.tenant, tenantsSeen++, now)
        tenants.set(ask.tenant, tenant)
      }
      tenant.weight = ask.weight
      // Who was away has not saved up a share.
      if (tenant.lanes.size === 0) tenant.served = Math.max(tenant.served, now)
      const key = ask.key ?? ALONE
      let lane = tenant.lanes.get(key)
      if (!lane) {
        lane = new Lane()
        tenant.lanes.set(key, lane)
      }
      lane.push(ask)
      count(tenant, ask, 1)
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
          for (const ask of lane.sweep(isDead)) count(tenant, ask, -1)
          if (lane.size === 0) tenant.lanes.delete(key)
        }
      }
    },
    of: name => tenants.get(name) ?? NOTHING,
    rowsBefore({ tenant: name, weight, level, rows: own }) {
      const tenant = tenants.get(name)
      const start = tenant?.lanes.size ? tenant.served : Math.max(tenant?.served ?? now, now)
      let before = 0
      for (let i = 0; i <= level; i++) before += tenant?.rowsByLevel[i] ?? 0
      const end = start + (before + own) / weight
      for (const other of tenants.values()) {
        if (other === tenant) continue
        before += Math.min(other.rows, Math.max(0, (end - other.served) * other.weight))
      }
      return before
    },
  }
}

/** The lane of those that share a run with nobody; no key begins so. */
const ALONE = '\0alone'
const NOTHING = { rows: 0, bytes: 0 }
