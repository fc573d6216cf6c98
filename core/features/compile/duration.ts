/** Lengths of time as builders write them. */

const UNITS = { us: 1, ms: 1e3, s: 1e6, m: 60e6, h: 3_600e6, d: 86_400e6 } as const
export const DAY = UNITS.d

/** Microseconds of a length such as `10m`. */
export function microsOf(duration: string): number {
  const [, count, unit] = /^(\d+)(us|ms|s|m|h|d)$/.exec(duration)!
  return Number(count) * UNITS[unit as keyof typeof UNITS]
}
