/**
 * Latencies as counts by bucket, so that what several edges saw adds up. Buckets grow by a fifth: a
 * percentile read from them is at most so much too high.
 */
const FIRST_MS = 0.25
const STEP = 1.2
const BUCKETS = 80

export function bucketOf(ms: number): number {
  if (ms <= FIRST_MS) return 0
  return Math.min(BUCKETS - 1, Math.ceil(Math.log(ms / FIRST_MS) / Math.log(STEP)))
}

/** The upper end of the bucket that holds the share `q` of what was counted, ms; null: nothing was. */
export function percentile(counts: readonly number[], q: number): number | null {
  const all = counts.reduce((sum, count) => sum + (count ?? 0), 0)
  if (all === 0) return null
  let left = Math.ceil(all * q)
  for (let i = 0; i < counts.length; i++) {
    left -= counts[i] ?? 0
    if (left <= 0) return FIRST_MS * STEP ** i
  }
  return FIRST_MS * STEP ** (BUCKETS - 1)
}

export function addBuckets(a: readonly number[], b: readonly number[]): number[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => (a[i] ?? 0) + (b[i] ?? 0))
}
