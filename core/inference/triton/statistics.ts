/** What runners counted, in the form of Triton's statistics extension. */
import type { ServedCounts, Statistics, Timed } from '#core/router.ts'

const NOTHING: Timed = { count: 0, ns: 0 }

/** Of a version that was not asked for yet. */
export function zeroCounts({ model, version }: { model: string; version: number }): ServedCounts {
  const none = (): Timed => ({ count: 0, ns: 0 })
  return {
    model,
    version,
    lastMs: 0,
    rows: 0,
    executions: 0,
    success: none(),
    fail: none(),
    queue: none(),
    compute: none(),
  }
}

/**
 * Sorted by name and version. `galley` says over which runners it was counted, and since when the youngest
 * of them runs: what was counted before is gone with those that counted it. Sizes of batches are left out,
 * because they tell of others.
 */
export function modelStatistics({ runners, models }: Statistics) {
  return {
    model_stats: models
      .toSorted((a, b) => (a.model < b.model ? -1 : a.model > b.model ? 1 : a.version - b.version))
      .map(modelStats),
    galley: {
      runners: runners.length,
      since: runners.length > 0 ? new Date(Math.max(...runners.map(r => r.sinceMs))) : null,
    },
  }
}

function modelStats({ model, version, lastMs, rows, executions, ...timed }: ServedCounts) {
  const { success, fail, queue, compute } = timed
  return {
    name: model,
    version: String(version),
    last_inference: lastMs,
    inference_count: rows,
    // Shares of shared runs add up to a little less or more than a whole number.
    execution_count: Math.ceil(executions - 1e-6),
    inference_stats: {
      success,
      fail,
      queue,
      compute_input: { ...NOTHING, count: compute.count },
      compute_infer: compute,
      compute_output: { ...NOTHING, count: compute.count },
      cache_hit: NOTHING,
      cache_miss: NOTHING,
    },
    response_stats: {},
    batch_stats: [],
    memory_usage: [],
  }
}
