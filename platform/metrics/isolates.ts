/**
 * Gauges of processes that nobody can ask: as each told them last, added up. One that has been silent for
 * long is taken to be gone, with what it held.
 */
import { formOf, type Snapshot } from './registry.ts'

const SILENT_MS_MAX = 60_000
/** More are not told apart: the one that was heard of longest ago is left out. */
const ISOLATES_MAX = 1_000

/** What an isolate tells: what it has counted since it last told, and how it stands. */
export type Told = { isolate: string; growth: Snapshot; gauges: Snapshot }

/** An older version of the code knew no gauges and told the growth alone; what a newer one leaves out is nothing. */
export function toldFrom(given: Partial<Told> | Snapshot): Told {
  const told = Array.isArray(given) ? { growth: given } : given
  return { isolate: '', growth: [], gauges: [], ...told }
}

export class Isolates {
  readonly #told = new Map<string, { gauges: Snapshot; at: number }>()

  tell({ isolate, gauges }: Told, nowMs: number): void {
    this.#told.delete(isolate)
    this.#told.set(isolate, { gauges, at: nowMs })
    for (const [id, { at }] of this.#told) {
      if (at >= nowMs - SILENT_MS_MAX && this.#told.size <= ISOLATES_MAX) break
      this.#told.delete(id)
    }
  }

  /** The sum of each gauge over all that were heard of lately. */
  snapshot(nowMs: number): Snapshot {
    const families = new Map<string, Snapshot[number]>()
    for (const { gauges, at } of this.#told.values()) {
      if (at < nowMs - SILENT_MS_MAX) continue
      for (const family of gauges) {
        const form = formOf(family)
        const sum = families.get(form)
        families.set(form, sum ? { ...sum, series: added(sum, family) } : family)
      }
    }
    return [...families.values()]
  }
}

function added(a: Snapshot[number], b: Snapshot[number]): Snapshot[number]['series'] {
  const sums = new Map<string, [readonly string[], number]>()
  for (const [values, value] of [...a.series, ...b.series]) {
    const key = values.join('\0')
    const [, sum] = sums.get(key) ?? [values, 0]
    sums.set(key, [values, sum + (value as number)])
  }
  return [...sums.values()]
}
