/**
 * What answers cost, and the two thresholds at which a model's answers cost least. A payment is approved,
 * reviewed by a person, or declined; which is cheapest follows from its score, and where to draw the lines
 * from payments whose truth is known.
 */
export type Judged = {
  score: number
  label: number
  /** Of the payment, in units of money. */
  amount: number
}
export type Thresholds = { review: number; decline: number }

/** In units of money. A reviewer finds out the truth. */
export const COSTS = {
  /** Beside the amount, of a fraud that was approved: the charge-back and the work with it. */
  chargeback: 15,
  review: 3,
  /** Of an honest payment that was declined: a customer who may go elsewhere. */
  insulted: 10,
} as const

export function costOf({ score, label, amount }: Judged, { review, decline }: Thresholds): number {
  if (score >= decline) return declined(label)
  if (score >= review) return COSTS.review
  return approved(label, amount)
}

/** The cheapest pair of thresholds for what is given. Infinity: never. */
export function cheapest(judged: readonly Judged[]): Thresholds {
  const sorted = judged.toSorted((a, b) => b.score - a.score)
  // Lines are drawn from the highest score down; the one for declining is never the lower one. So for each
  // place of the line for reviews, the best place for the other is the best one so far.
  let best = { saved: 0, review: Number.POSITIVE_INFINITY, decline: Number.POSITIVE_INFINITY }
  let declining = { saved: 0, at: Number.POSITIVE_INFINITY }
  let [byReview, byDecline] = [0, 0]
  for (const [i, { score, label, amount }] of sorted.entries()) {
    byReview += approved(label, amount) - COSTS.review
    byDecline += COSTS.review - declined(label)
    // Equal scores get equal answers.
    if (sorted[i + 1]?.score === score) continue
    if (byDecline > declining.saved) declining = { saved: byDecline, at: score }
    const saved = byReview + declining.saved
    if (saved > best.saved) best = { saved, review: score, decline: declining.at }
  }
  return { review: best.review, decline: best.decline }
}

function approved(label: number, amount: number): number {
  return label === 1 ? amount + COSTS.chargeback : 0
}

function declined(label: number): number {
  return label === 1 ? 0 : COSTS.insulted
}
