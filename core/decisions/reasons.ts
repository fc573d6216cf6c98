/**
 * Which features moved a score: the row is scored again with each feature in turn replaced by what stands
 * for its absence (occlusion, one feature at a time), all of it as one batch.
 */
import type { ModelInput } from '#schemas/decision.ts'

export const METHOD = 'replaced_by_missing'
/** So many rows of so many features are scored at once. */
export const EXPLAINED_FEATURES_MAX = 200

export type Moved = { feature: string; value: number; replaced_by: number; change: number }
type Input = Pick<ModelInput, 'features' | 'missing'>

/** The rows to score, and which feature is replaced in each; those that are absent already are left out. */
export function replacedRows(row: Float32Array, { features, missing }: Input) {
  const standIns = Float32Array.from(features, name => missing[name] ?? 0)
  const places = [...features.keys()].filter(i => !Object.is(row[i], standIns[i]))
  const rows = new Float32Array(places.length * row.length)
  for (const [n, i] of places.entries()) {
    rows.set(row, n * row.length)
    rows[n * row.length + i] = standIns[i]!
  }
  return { places, rows }
}

/** Those that moved the score the most first; `change` is what the value adds to it. */
export function ranked(
  { score, row }: { score: number; row: Float32Array },
  { features, missing }: Input,
  { places }: { places: number[] },
  without: number[],
): Moved[] {
  const moved = places.map((i, n) => ({
    feature: features[i]!,
    value: row[i]!,
    replaced_by: missing[features[i]!] ?? 0,
    change: score - without[n]!,
  }))
  return moved.sort((a, b) => Math.abs(b.change) - Math.abs(a.change))
}
