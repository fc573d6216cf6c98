/** What a rollout saw, added up, and whether it breaks a guard. Pure. */
import type { Compared, Guard, Moments, Report, Side } from '#schemas/rollout.ts'
import { addBuckets, percentile } from './latency.ts'

/** So many failures and not one success need no further proof. */
const FAILURES_ALONE = 10
/** Below this a ratio of latencies is one of clocks. */
const LATENCY_DIFFERENCE_MS_MIN = 1
const QUANTILE = 0.95

export const emptySide = (): Side => ({
  requests: 0,
  errors: 0,
  compute_us: 0,
  latency: [],
  outputs: {},
})
const emptyCompared = (): Compared => ({ requests: 0, rows: 0, rows_differing: 0, tensors: {} })
export const emptyReport = (): Report => ({
  stable: emptySide(),
  candidate: emptySide(),
  compared: emptyCompared(),
  skipped: 0,
})

export function merged(a: Report, b: Report): Report {
  return {
    stable: addSides(a.stable, b.stable),
    candidate: addSides(a.candidate, b.candidate),
    compared: addCompared(a.compared, b.compared),
    skipped: a.skipped + b.skipped,
  }
}

function addSides(a: Side, b: Side): Side {
  return {
    requests: a.requests + b.requests,
    errors: a.errors + b.errors,
    compute_us: a.compute_us + b.compute_us,
    latency: addBuckets(a.latency, b.latency),
    outputs: joined(a.outputs, b.outputs, addMoments),
  }
}

export function addMoments(a: Moments, b: Moments): Moments {
  return {
    n: a.n + b.n,
    odd: a.odd + b.odd,
    sum: a.sum + b.sum,
    squares: a.squares + b.squares,
  }
}

export function addCompared(a: Compared, b: Compared): Compared {
  return {
    requests: a.requests + b.requests,
    rows: a.rows + b.rows,
    rows_differing: a.rows_differing + b.rows_differing,
    tensors: joined(a.tensors, b.tensors, (x, y) => ({
      max_abs_diff: Math.max(x.max_abs_diff, y.max_abs_diff),
      rows_differing: x.rows_differing + y.rows_differing,
    })),
  }
}

/** Why the candidate must go; null: it may stay. Errors weigh before latency, latency before values. */
export function verdictOn(mode: 'canary' | 'shadow', guard: Guard, report: Report): string | null {
  const { stable, candidate } = report
  const { requests, errors } = candidate
  if (guard.errors_max !== null && errors >= FAILURES_ALONE && errors === requests) {
    return `all ${errors} requests to the candidate failed`
  }
  const hasEnough = (side: Side) => side.requests >= guard.requests_min
  if (!hasEnough(candidate)) return null
  return (
    onErrors(guard, stable, candidate) ??
    (hasEnough(stable) ? onLatency(guard, stable, candidate) : null) ??
    (mode === 'canary' ? (hasEnough(stable) ? onShift(guard, stable, candidate) : null) : null) ??
    (mode === 'shadow' ? onDifference(guard, report.compared) : null)
  )
}

function onErrors({ errors_max }: Guard, stable: Side, candidate: Side): string | null {
  if (errors_max === null) return null
  const of = ({ requests, errors }: Side) => (requests === 0 ? 0 : errors / requests)
  if (of(candidate) <= of(stable) + errors_max) return null
  return `${percent(of(candidate))} of the candidate's requests failed, of the other's ${percent(of(stable))}; ${percent(errors_max)} more may`
}

function onLatency({ latency_ratio_max }: Guard, stable: Side, candidate: Side): string | null {
  if (latency_ratio_max === null) return null
  const a = percentile(stable.latency, QUANTILE) ?? 0
  const b = percentile(candidate.latency, QUANTILE) ?? 0
  if (b <= a * latency_ratio_max || b - a < LATENCY_DIFFERENCE_MS_MIN) return null
  return `the candidate's p95 latency is ${b.toFixed(1)} ms, the other's ${a.toFixed(1)} ms; ${latency_ratio_max} times as much may be`
}

function onShift({ shift_max, errors_max }: Guard, stable: Side, candidate: Side): string | null {
  if (shift_max === null) return null
  for (const [name, a] of Object.entries(stable.outputs)) {
    const b = candidate.outputs[name]
    if (!b || a.n + a.odd === 0 || b.n + b.odd === 0) continue
    const odd = ({ n, odd }: Moments) => odd / (n + odd)
    if (odd(b) > odd(a) + (errors_max ?? 0)) {
      return `${percent(odd(b))} of the candidate's "${name}" is no finite number, of the other's ${percent(odd(a))}`
    }
    const shift = shiftOf(a, b)
    if (shift > shift_max) {
      return `the mean of "${name}" moved by ${shift.toFixed(2)} standard deviations; ${shift_max} may be`
    }
  }
  return null
}

/** Distance of the means in standard deviations of the first. */
export function shiftOf(a: Moments, b: Moments): number {
  if (a.n === 0 || b.n === 0) return 0
  const meanA = a.sum / a.n
  const distance = Math.abs(b.sum / b.n - meanA)
  const deviation = Math.sqrt(Math.max(0, a.squares / a.n - meanA * meanA))
  // An output that never varied: whatever is not rounding is a shift.
  const floor = 1e-6 * Math.max(1, Math.abs(meanA))
  return distance / Math.max(deviation, floor)
}

function onDifference({ rows_differing_max, requests_min }: Guard, compared: Compared) {
  if (rows_differing_max === null || compared.requests < requests_min) return null
  const share = compared.rows === 0 ? 0 : compared.rows_differing / compared.rows
  if (share <= rows_differing_max) return null
  return `${percent(share)} of the rows differ by more than the tolerance; ${percent(rows_differing_max)} may`
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`

function joined<T>(a: Record<string, T>, b: Record<string, T>, add: (x: T, y: T) => T) {
  const all = { ...a }
  for (const [name, value] of Object.entries(b)) {
    const known = Object.hasOwn(all, name) ? all[name] : undefined
    all[name] = known === undefined ? value : add(known, value)
  }
  return all
}
