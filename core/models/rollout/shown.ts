/** A rollout's sums as people read them. */
import type { Report, Side } from '#schemas/rollout.ts'
import { percentile } from './latency.ts'
import { shiftOf } from './report.ts'

export function shownReport({ stable, candidate, compared, skipped }: Report) {
  const { rows, rows_differing } = compared
  const names = Object.keys(stable.outputs).filter(name => Object.hasOwn(candidate.outputs, name))
  return {
    stable: shownSide(stable),
    candidate: shownSide(candidate),
    /** Standard deviations between the mean outputs. */
    shift: Object.fromEntries(
      names.map(name => [name, rounded(shiftOf(stable.outputs[name]!, candidate.outputs[name]!))]),
    ),
    compared: { ...compared, share_differing: rows === 0 ? null : rows_differing / rows },
    skipped,
  }
}

function shownSide({ requests, errors, compute_us, latency, outputs }: Side) {
  const answered = requests - errors
  return {
    requests,
    errors,
    p50_ms: rounded(percentile(latency, 0.5)),
    p95_ms: rounded(percentile(latency, 0.95)),
    compute_us_mean: answered === 0 ? null : rounded(compute_us / answered),
    outputs: Object.fromEntries(
      Object.entries(outputs).map(([name, { n, sum, squares, odd }]) => [
        name,
        {
          mean: n === 0 ? null : sum / n,
          deviation: n === 0 ? null : Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2)),
          not_finite: odd,
        },
      ]),
    ),
  }
}

function rounded<T extends number | null>(value: T): T {
  return (value === null ? null : Math.round(value * 1_000) / 1_000) as T
}
