/** What this process answered, by tenant, model and version, since it started. */
import type { Clock } from '#core/deps.ts'
import { zeroCounts } from '#core/inference/triton/statistics.ts'
import type { ServedCounts, Timed } from '#core/router.ts'
import type { TenantId } from '#schemas/ids.ts'

/** A few hundred bytes each; past it the version that was met first is forgotten. */
const VERSIONS_MAX = 20_000

type Which = { model: string; version: number }
type Filter = { model?: string; version?: number }

export class Statistics {
  readonly sinceMs: number
  readonly #counts = new Map<string, { tenantId: TenantId; counts: ServedCounts }>()

  constructor(clock: Clock) {
    this.sinceMs = clock.now()
  }

  /** Looked up once for all requests of a caller to a version. */
  of(tenantId: TenantId, { model, version }: Which): ServedCounts {
    const key = `${tenantId} ${model} ${version}`
    const known = this.#counts.get(key)
    if (known) return known.counts
    if (this.#counts.size >= VERSIONS_MAX) this.#counts.delete(this.#counts.keys().next().value!)
    const counts = zeroCounts({ model, version })
    this.#counts.set(key, { tenantId, counts })
    return counts
  }

  read(tenantId: TenantId, { model, version }: Filter): ServedCounts[] {
    return [...this.#counts.values()]
      .filter(
        ({ tenantId: owner, counts }) =>
          owner === tenantId &&
          (model === undefined || counts.model === model) &&
          (version === undefined || counts.version === version),
      )
      .map(({ counts }) => counts)
  }
}

/** `batchRows`: of the run that it was part of. */
export function countSuccess(
  counts: ServedCounts,
  done: { rows: number; batchRows?: number; computeUs: number },
  { tookMs, atMs }: { tookMs: number; atMs: number },
): void {
  const { rows, batchRows = rows, computeUs } = done
  const share = rows > 0 ? rows / batchRows : 1
  const ns = Math.round(tookMs * 1e6)
  const computeNs = Math.min(ns, Math.round((computeUs * 1e3) / Math.min(1, share)))
  counts.lastMs = atMs
  counts.rows += rows
  counts.executions += share
  add(counts.success, ns)
  add(counts.compute, computeNs)
  add(counts.queue, ns - computeNs)
}

export function countFailure(counts: ServedCounts, tookMs: number): void {
  add(counts.fail, Math.round(tookMs * 1e6))
}

/** Adds what another runner counted of the same version. */
export function merge(into: ServedCounts, from: ServedCounts): void {
  into.lastMs = Math.max(into.lastMs, from.lastMs)
  into.rows += from.rows
  into.executions += from.executions
  for (const name of ['success', 'fail', 'queue', 'compute'] as const) {
    into[name].count += from[name].count
    into[name].ns += from[name].ns
  }
}

function add(timed: Timed, ns: number): void {
  timed.count++
  timed.ns += ns
}
