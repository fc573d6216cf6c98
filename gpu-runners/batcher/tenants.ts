/** Tenants that share a model, and which of them is furthest behind its share. */
import type { Lane } from './lane.ts'

export type Tenant = {
  name: string
  /** Order of arrival; decides between tenants that are equally far behind. */
  nr: number
  /** Its share of the rows, relative to the others'. */
  weight: number
  /** Virtual time: rows served, over the weight. */
  served: number
  /** What waits, in all and by level of priority. */
  rows: number
  bytes: number
  rowsByLevel: number[]
  lanes: Map<string, Lane>
}

export function newTenant(name: string, nr: number, served: number): Tenant {
  const nothing = { rows: 0, bytes: 0, rowsByLevel: [], lanes: new Map() }
  return { name, nr, weight: 1, served, ...nothing }
}

/** Those of the tenants that have requests of a key, the one that lags most first: a binary heap. */
export class Lagging {
  readonly #heap: Tenant[] = []

  constructor(tenants: Iterable<Tenant>, key: string) {
    for (const tenant of tenants) if (tenant.lanes.has(key)) this.#heap.push(tenant)
    for (let at = (this.#heap.length >> 1) - 1; at >= 0; at--) this.#down(at)
  }

  first(): Tenant | undefined {
    return this.#heap[0]
  }

  /** The first one's virtual time has grown. */
  sink(): void {
    this.#down(0)
  }

  /** Takes the first one out. */
  drop(): void {
    const last = this.#heap.pop()!
    if (this.#heap.length === 0) return
    this.#heap[0] = last
    this.#down(0)
  }

  #down(from: number): void {
    const heap = this.#heap
    for (let at = from; ; ) {
      const left = 2 * at + 1
      let least = at
      if (left < heap.length && isBehind(heap[left]!, heap[least]!)) least = left
      if (left + 1 < heap.length && isBehind(heap[left + 1]!, heap[least]!)) least = left + 1
      if (least === at) return
      const held = heap[at]!
      heap[at] = heap[least]!
      heap[least] = held
      at = least
    }
  }
}

export function isBehind(a: Tenant, b: Tenant): boolean {
  return a.served < b.served || (a.served === b.served && a.nr < b.nr)
}
