/**
 * The time of day with a fraction of a millisecond. `Date.now()` has none, and `performance.timeOrigin`
 * drifts from it; this stays within the millisecond that `Date.now()` says, so that the spans of two
 * processes of one machine stand in their order to the millisecond, those of one process to the microsecond.
 */

/** Of a millisecond: the largest fraction that is kept. */
const FRACTION_MAX = 0.999

/** Unix milliseconds. */
export function openWall(): () => number {
  let offset = performance.timeOrigin
  return () => {
    const passed = performance.now()
    const now = Date.now()
    const at = Math.min(Math.max(offset + passed, now), now + FRACTION_MAX)
    offset = at - passed
    return at
  }
}
