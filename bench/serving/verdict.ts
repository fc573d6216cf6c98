/** From rounds to the last line: medians, and ratios within each round before their median is taken. */
import type { SmallModel } from './models.ts'
import type { Round, Rounds } from './small.ts'

export type Verdict = {
  bench: 'serving'
  /** Requests a second of ours by those of the best peer, of the model where that is less. */
  vs_best_peer: number | null
  best_peer: string | null
  /** The 99th percentile of the peer that is best in it by ours, of the model where that is less. */
  p99_vs_peer: number | null
  /** Processor time of a request by that of the bare engine, of the model where that is more. */
  cpu_vs_bare: number | null
  models: Record<string, unknown>
  missing_peers: Record<string, string>
}

export function verdictOf(
  measured: ReadonlyMap<SmallModel, Rounds>,
  missing: Record<string, string>,
): Verdict {
  const each = [...measured].map(([model, rounds]) => ({ model, ...ofModel(rounds) }))
  const slowest = least(each, one => one.vs_best_peer)
  return {
    bench: 'serving',
    vs_best_peer: slowest?.vs_best_peer ?? null,
    best_peer: slowest?.best_peer ?? null,
    p99_vs_peer: least(each, one => one.p99_vs_peer)?.p99_vs_peer ?? null,
    cpu_vs_bare:
      least(each, one => (one.cpu_vs_bare === null ? null : -one.cpu_vs_bare))?.cpu_vs_bare ?? null,
    models: Object.fromEntries(each.map(({ model, ...figures }) => [model, figures])),
    missing_peers: missing,
  }
}

function ofModel(rounds: Rounds) {
  const names = [...rounds.keys()]
  const peers = names.filter(name => name !== 'galley' && name !== 'bare')
  const best = least(peers, name => -middle(rounds, name, 'perS')) ?? null
  const quickest = least(peers, name => middle(rounds, name, 'p99')) ?? null
  return {
    vs_best_peer: best === null ? null : ratio(rounds, 'perS', 'galley', best),
    best_peer: best,
    p99_vs_peer: quickest === null ? null : ratio(rounds, 'p99', quickest, 'galley'),
    quickest_peer: quickest,
    cpu_vs_bare: names.includes('bare') ? ratio(rounds, 'cpuUs', 'galley', 'bare') : null,
    servers: Object.fromEntries(names.map(name => [name, figuresOf(rounds, name)])),
  }
}

function figuresOf(rounds: Rounds, name: string) {
  return {
    per_s: Math.round(middle(rounds, name, 'perS')),
    cpu_us: round2(middle(rounds, name, 'cpuUs')),
    p99_loaded_ms: round2(middle(rounds, name, 'p99Loaded')),
    one_caller_p50_ms: round2(middle(rounds, name, 'p50')),
    one_caller_p99_ms: round2(middle(rounds, name, 'p99')),
  }
}

function middle(rounds: Rounds, name: string, field: keyof Round): number {
  return median(rounds.get(name)!.map(round => round[field]))
}

function ratio(rounds: Rounds, field: keyof Round, above: string, below: string): number {
  const lower = rounds.get(below)!
  return round2(median(rounds.get(above)!.map((round, i) => round[field] / lower[i]![field])))
}

function least<T>(all: readonly T[], by: (one: T) => number | null): T | undefined {
  const known = all.filter(one => by(one) !== null)
  return known.toSorted((a, b) => by(a)! - by(b)!)[0]
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}

export function round2(value: number): number {
  return Math.round(value * 100) / 100
}
