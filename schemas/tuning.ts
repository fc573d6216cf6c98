/** How a version runs best on a class of hardware, as it was measured there when it was published. */

export type CurvePoint = {
  /** Threads inside one run. */
  threads: number
  rows: number
  /** One run of so many rows, microseconds. */
  runUs: number
}

/** What a runner needs to know of it. */
export type RunSettings = {
  /** The class of hardware on which it was measured; of no use on another. */
  hardware: string
  threads: number
  /** The most rows of one run. */
  batchRows: number
  /** A row's part of such a run, microseconds. */
  rowUs: number
}

export type Tuning = RunSettings & {
  loadMs: number
  curve: CurvePoint[]
}
