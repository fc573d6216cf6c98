/** What the child tells its parent: where it is, and in the end what it found. One JSON object a line. */
import type { Signature } from '#schemas/signature.ts'
import type { EmbeddingManifest } from '#schemas/tables/models.ts'
import type { ValidationLimits } from './limits.ts'
import type { Measured } from './tune.ts'

export type Stage =
  | { stage: 'inspect' | 'load' | 'texts' }
  | { stage: 'trial'; shapes: Record<string, number[]> }

export type InspectionSummary = {
  opsets: Record<string, number>
  irVersion: number
  producer: string
  nodes: number
  parameters: number
  parameterBytes: number
  externalFiles: string[]
}
export type TrialReport = {
  /** Rows that were asked alone and together. */
  rows: number
  /** The largest batch that was compared with lone rows; 0 when rows were never joined. */
  batchRows: number
  /** Compute time per row, in microseconds. */
  microsPerRow: number
  microsPerRowBatched: number | null
  /** Shapes of one row, by input. */
  shapes: Record<string, number[]>
}
export type Verdict =
  | {
      ok: true
      signature: Signature
      inspection: InspectionSummary
      trial: TrialReport
      /** Not there when the first measurement already took too much time or memory. */
      tuning?: Measured
    }
  | { ok: false; code: 'invalid_model'; detail: string }

export type Report = Stage | { verdict: Verdict }

/** What the child is asked, as a file in its folder. */
export type Task = {
  /** Path of the graph relative to the child's working directory. */
  graph: string
  bundledFiles: { path: string; size: number }[]
  batchAxes: Record<string, number | null>
  trialDims: Record<string, number[]>
  /** With the tokeniser's path as the child sees it. */
  embedding: EmbeddingManifest | null
  limits: ValidationLimits
}
