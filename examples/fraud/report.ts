/** What came out, as one JSON document from which the pictures are drawn: curves, scores, answers, times. */
import { costOf, type Judged, type Thresholds } from './costs.ts'
import { type Quality, quality, stepsOf } from './measure.ts'
import { ATTACKS, type Attack } from './payment.ts'

export type Point = [x: number, y: number]
export type ScoredPayment = Judged & { attack: string | null }
export type Kind = 'plain' | 'velocity'
export type ModelReport = Quality & {
  thresholds: Thresholds
  /** Of all mistakes and reviews in the span, in units of money. */
  cost: number
  roc: Point[]
  precision_recall: Point[]
  /**
   * Share of each attack's payments that are caught when one honest payment in a thousand is stopped; null:
   * there was no such attack.
   */
  caught: Record<Attack, number | null>
  /** Payments by the logit of their score; see LOGITS. */
  scores: Record<'honest' | Attack, number[]>
}
export type LatencyReport = {
  /** Asked a second, for so many seconds, by another process, whatever the answers did. */
  rate: number
  seconds: number
  p50_ms: number
  p90_ms: number
  p99_ms: number
  max_ms: number
  /** How many took up to `below` ms and longer than the bin before. */
  bins: { below: number; count: number }[]
}
export type Report = {
  transactions: number
  cards: number
  shops: number
  seed: number
  frauds: number
  /** Told to the product a second. */
  events_per_s: number
  /** What nobody learned from. */
  held: { payments: number; frauds: number; days: number; cost_without_model: number }
  models: Record<Kind, ModelReport>
  latency: LatencyReport
  /** Of the decisions made live: by what the payment was, how many got which answer. */
  answers: Record<string, Record<string, number>>
  live: { decisions: number; frauds: number; auc: number }
}

/** Bins of scores: the first below -9, then one for each unit, the last from 9 on. */
export const LOGITS = { from: -9, to: 9 } as const
const POINTS_APART = 0.004
const BINS_PER_DECADE = 10

export function modelReport(scored: readonly ScoredPayment[], thresholds: Thresholds): ModelReport {
  const steps = stepsOf(scored)
  const { hits: positives, alarms: negatives } = steps.at(-1)!
  const line = steps.findLast(({ alarms }) => alarms <= negatives / 1_000)?.score ?? Infinity
  const shareAbove = (payments: readonly ScoredPayment[]) =>
    payments.length === 0
      ? null
      : payments.filter(({ score }) => score >= line).length / payments.length
  const of = (attack: string | null) => scored.filter(each => each.attack === attack)
  const byAttack = <T>(value: (payments: ScoredPayment[]) => T) =>
    Object.fromEntries(ATTACKS.map(attack => [attack, value(of(attack))])) as Record<Attack, T>
  return {
    ...quality(scored),
    thresholds,
    cost: scored.reduce((sum, each) => sum + costOf(each, thresholds), 0),
    roc: thinned(steps.map(({ hits, alarms }): Point => [alarms / negatives, hits / positives])),
    precision_recall: thinned(
      steps.map(({ hits, alarms }): Point => [hits / positives, hits / (hits + alarms)]),
    ),
    caught: byAttack(shareAbove),
    scores: { honest: logitsOf(of(null)), ...byAttack(logitsOf) },
  }
}

/** Times in bins of equal width on a logarithmic scale. */
export function binned(ms: readonly number[]): LatencyReport['bins'] {
  const counts = new Map<number, number>()
  for (const each of ms) {
    const bin = Math.floor(Math.log10(Math.max(each, 0.01)) * BINS_PER_DECADE)
    counts.set(bin, (counts.get(bin) ?? 0) + 1)
  }
  const [first, last] = [Math.min(...counts.keys()), Math.max(...counts.keys())]
  return Array.from({ length: last - first + 1 }, (_, i) => ({
    below: round(10 ** ((first + i + 1) / BINS_PER_DECADE)),
    count: counts.get(first + i) ?? 0,
  }))
}

function logitsOf(payments: readonly ScoredPayment[]): number[] {
  const bins = new Array<number>(LOGITS.to - LOGITS.from + 2).fill(0)
  for (const { score } of payments) {
    const logit = Math.log(score / (1 - score))
    const bin = Math.floor(Math.min(LOGITS.to, Math.max(LOGITS.from - 1, logit))) - LOGITS.from + 1
    bins[bin]!++
  }
  return bins
}

/** Neighbours that no picture could tell apart are one; the first and the last stay. */
function thinned(points: readonly Point[]): Point[] {
  const kept: Point[] = []
  for (const [i, [x, y]] of points.entries()) {
    const [lastX, lastY] = kept.at(-1) ?? [Infinity, Infinity]
    const isFar = Math.hypot(x - lastX, y - lastY) >= POINTS_APART
    if (isFar || i === points.length - 1) kept.push([round(x), round(y)])
  }
  return kept
}

function round(value: number): number {
  return Number(value.toPrecision(5))
}
