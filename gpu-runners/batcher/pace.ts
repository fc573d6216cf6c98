/**
 * How long runs take: a·n + b milliseconds for n rows, fitted by least squares in which older runs fade.
 * From it follows which request can still be answered in time, and when to come back.
 */
export type Pace = {
  /** A run of so many rows begins; `true` to what it returns: it succeeded, and counts. */
  begin(rows: number): (isDone: boolean) => void
  /** One run of so many rows; 0 while nothing is known. */
  runMs(rows: number): number
  /** So many rows in runs of at most `batchRowsMax`. */
  rowsMs(rows: number, batchRowsMax: number): number
  /** Of the time of a run of so many rows, the part that its rows would take in full batches: 0 to 1. */
  fullness(rows: number, batchRowsMax: number): number
  /** The most rows that a run of this length holds, at least one. */
  rowsIn(ms: number): number
  /** What a run takes before its first row. */
  fixedMs(): number
  /** What is left of the run that is going on. */
  leftMs(): number
  /** The same as far as it was foreseen: 0 of one that should have ended. */
  foreseenMs(): number
  /** By how much the last predictions were wrong. */
  errorMs(): number
}

/** About the last fifty runs count. */
const FADE = 0.98
/** Sizes that differ by less than this part of their mean tell nothing of the slope. */
const SPREAD_MIN = 0.1
/** Of the newest prediction in the average error. */
const ERROR_GAIN = 1 / 8

/** `stopwatch`: milliseconds from any beginning, with fractions. */
export function createPace(stopwatch: { now(): number }): Pace {
  let runs = 0
  let weight = 0
  let n = 0
  let t = 0
  let nn = 0
  let nt = 0
  let error = 0
  /** [a, b]; asked for many times between two runs. */
  let line: [number, number] = [0, 0]
  let current: { startMs: number; runMs: number } | null = null

  function record(rows: number, ms: number): void {
    runs++
    // The first run after loading makes ready what the others find.
    if (runs === 1) return
    const foreseen = runMs(rows)
    if (weight > 0) error += (Math.abs(ms - foreseen) - error) * ERROR_GAIN
    weight = weight * FADE + 1
    n = n * FADE + rows
    t = t * FADE + ms
    nn = nn * FADE + rows * rows
    nt = nt * FADE + rows * ms
    line = fit()
  }

  /** Where runs were all of about one size, all of their time is taken to be the rows'. */
  function fit(): [number, number] {
    if (weight === 0 || n === 0) return [0, 0]
    const prior = t / n
    const pull = (SPREAD_MIN * n) ** 2
    const slope = (weight * nt - n * t + pull * prior) / (weight * nn - n * n + pull)
    const a = Math.min(prior, Math.max(0, slope))
    return [a, (t - a * n) / weight]
  }

  function runMs(rows: number): number {
    const [a, b] = line
    return a * rows + b
  }

  return {
    begin(rows) {
      const startMs = stopwatch.now()
      current = { startMs, runMs: runMs(rows) }
      return isDone => {
        current = null
        if (isDone) record(rows, stopwatch.now() - startMs)
      }
    },
    runMs,
    rowsMs(rows, batchRowsMax) {
      const [a, b] = line
      return a * rows + b * Math.ceil(Math.max(rows, 1) / batchRowsMax)
    },
    rowsIn(ms) {
      const [a, b] = line
      return a > 0 ? Math.max(1, Math.floor((ms - b) / a)) : Number.POSITIVE_INFINITY
    },
    fullness(rows, batchRowsMax) {
      const [a, b] = line
      const part = Math.max(rows, 1)
      const alone = a * part + b
      return alone > 0 ? Math.min(1, (a * part + (b * part) / batchRowsMax) / alone) : 1
    },
    fixedMs: () => line[1],
    leftMs() {
      if (!current) return 0
      const tookMs = stopwatch.now() - current.startMs
      // One that is late by so much is taken to need as much again.
      return Math.abs(current.runMs - tookMs)
    },
    foreseenMs() {
      if (!current) return 0
      return Math.max(0, current.runMs - (stopwatch.now() - current.startMs))
    },
    errorMs: () => error,
  }
}
