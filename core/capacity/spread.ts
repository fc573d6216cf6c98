/** Of observed values: what is usual, and what is rarely passed. */

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** The least value that so large a part of the values does not pass. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(part * sorted.length) - 1))]!
}

/** What is left on average of one that has lasted so long; a whole one for what has passed them all. */
export function leftOf(values: readonly number[], soFar: number): number {
  const longer = values.filter(value => value > soFar)
  return longer.length > 0 ? mean(longer) - soFar : mean(values)
}
