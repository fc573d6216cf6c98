/** How good a score is on rare events: curves and their areas, by counting. */

export type Scored = { score: number; label: number }
export type Quality = {
  /** Area under the ROC curve: how often a fraud scores above an honest payment. */
  auc: number
  /** Area under precision over recall. */
  average_precision: number
  /** Share of frauds that are caught when one honest payment in a thousand is stopped. */
  recall_at_1_in_1000: number
}

export function quality(scored: readonly Scored[]): Quality {
  const curve = rocOf(scored)
  const positives = scored.filter(({ label }) => label === 1).length
  const negatives = scored.length - positives
  let auc = 0
  let averagePrecision = 0
  let recall = 0
  for (const [i, { hits, alarms }] of curve.entries()) {
    const before = i === 0 ? { hits: 0, alarms: 0 } : curve[i - 1]!
    auc += (alarms - before.alarms) * (hits + before.hits) * 0.5
    averagePrecision += ((hits - before.hits) * hits) / (hits + alarms || 1)
    if (alarms <= negatives / 1_000) recall = hits / positives
  }
  return {
    auc: auc / (positives * negatives),
    average_precision: averagePrecision / positives,
    recall_at_1_in_1000: recall,
  }
}

/** Frauds caught and honest payments stopped at every threshold, the highest first; ties in one step. */
export function rocOf(scored: readonly Scored[]): { hits: number; alarms: number }[] {
  const sorted = scored.toSorted((a, b) => b.score - a.score)
  const curve: { hits: number; alarms: number }[] = []
  let [hits, alarms] = [0, 0]
  for (const [i, { score, label }] of sorted.entries()) {
    if (label === 1) hits++
    else alarms++
    if (sorted[i + 1]?.score !== score) curve.push({ hits, alarms })
  }
  return curve
}
