/**
 * How long a batch of n rows takes, fitted as a·n + b by least squares in which older batches fade.
 * Used to tell a refused caller when to come back.
 */
export type ServiceTime = {
  record(rows: number, computeUs: number): void
  /** Time that `rows` waiting rows need in batches of at most `batchRowsMax`; 0 while nothing is known. */
  predictUs(rows: number, batchRowsMax: number): number
}

// About the last fifty batches count.
const FADE = 0.98

export function createServiceTime(): ServiceTime {
  let weight = 0
  let n = 0
  let t = 0
  let nn = 0
  let nt = 0
  return {
    record(rows, computeUs) {
      weight = weight * FADE + 1
      n = n * FADE + rows
      t = t * FADE + computeUs
      nn = nn * FADE + rows * rows
      nt = nt * FADE + rows * computeUs
    },
    predictUs(rows, batchRowsMax) {
      if (weight === 0) return 0
      const spread = weight * nn - n * n
      // Batches of one size tell nothing of the slope: then all of the time is the rows'.
      const a = spread > 1e-6 * nn ? Math.max(0, (weight * nt - n * t) / spread) : t / n
      const b = Math.max(0, (t - a * n) / weight)
      return a * rows + b * Math.ceil(rows / batchRowsMax)
    },
  }
}
