/** How good a score is on rare events: curves and their areas, by counting. */

export type Scored = { score: number; label: number }
export type Quality = {
  /** Area under the ROC curve: how often a fraud scores above an honest payment, ties by half. */
  auc: number
  /** Area under precision over recall, as average precision. */
  average_precision: number
  /** Share of frauds that are caught when one honest payment in a thousand is stopped. */
  recall_at_1_in_1000: number
}
/** So far from the highest score down: frauds caught, honest payments stopped. */
export type Step = { score: number; hits: number; alarms: number }

export function quality(scored: readonly Scored[]): Quality {
  const curve = stepsOf(scored)
  const { hits: positives, alarms: negatives } = curve.at(-1) ?? { hits: 0, alarms: 0 }
  let [auc, averagePrecision, recall] = [0, 0, 0]
  let before = { hits: 0, alarms: 0 }
  for (const { hits, alarms } of curve) {
    auc += (alarms - before.alarms) * (hits + before.hits) * 0.5
    averagePrecision += ((hits - before.hits) * hits) / (hits + alarms)
    if (alarms <= negatives / 1_000) recall = hits / positives
    before = { hits, alarms }
  }
  return {
    auc: auc / (positives * negatives),
    average_precision: averagePrecision / positives,
    recall_at_1_in_1000: recall,
  }
}

/** At every threshold, the highest first; equal scores in one step. */
export function stepsOf(scored: readonly Scored[]): Step[] {
  const sorted = scored.toSorted((a, b) => b.score - a.score)
  const steps: Step[] = []
  let [hits, alarms] = [0, 0]
  for (const [i, { score, label }] of sorted.entries()) {
    if (label === 1) hits++
    else alarms++
    if (sorted[i + 1]?.score !== score) steps.push({ score, hits, alarms })
  }
  return steps
}
