/** Values as people read them, and as they write them. */
import { UsageError } from './command.ts'

const NUMBER = new Intl.NumberFormat('en-US')
const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB']

export const count = (value: number) => NUMBER.format(value)

export function bytes(value: number): string {
  const step = value < 1 ? 0 : Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log10(value) / 3))
  const scaled = value / 1000 ** step
  return `${step === 0 ? scaled : scaled.toPrecision(3)} ${BYTE_UNITS[step]}`
}

export function duration(us: number): string {
  if (us < 1_000) return `${us} µs`
  if (us < 1_000_000) return `${(us / 1_000).toPrecision(3)} ms`
  return `${(us / 1_000_000).toFixed(us < 100_000_000 ? 2 : 0)} s`
}

/** ISO, to the second. */
export function time(iso: string | null): string {
  return iso === null ? '-' : `${new Date(iso).toISOString().slice(0, 19)}Z`
}

export function pairs(record: Record<string, unknown>): string {
  return (
    Object.entries(record)
      .map(([name, value]) => `${name}=${value}`)
      .join(' ') || '-'
  )
}

/**
 * Text of others as one line that does nothing to the terminal: a name could hold escape sequences,
 * or turn the direction of what follows.
 */
export function clean(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\u{FFFD}')
}

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 }

/** `90s`, `15m`, `12h` or `7d`, in seconds. */
export function seconds(option: string, text: string): number {
  const match = /^(\d{1,9})([smhd])$/.exec(text)
  if (match) return Number(match[1]) * SECONDS[match[2] as keyof typeof SECONDS]
  throw new UsageError(`${option} takes a time such as 90s, 15m, 12h or 7d, not "${text}".`)
}

/** A day or a time in ISO form, as a full timestamp; a time without a zone is UTC. */
export function timestamp(option: string, text: string): string {
  const day = /^\d{4}-\d\d-\d\d$/.test(text)
  const zoned = /([zZ]|[+-]\d\d:\d\d)$/.test(text)
  const at = new Date(day ? `${text}T00:00:00Z` : zoned ? text : `${text}Z`)
  if (/^\d{4}-\d\d-\d\d/.test(text) && !Number.isNaN(at.getTime())) return at.toISOString()
  throw new UsageError(
    `${option} takes a day or a time such as 2026-11-01 or 2026-11-01T12:00:00Z, not "${text}".`,
  )
}

/** `name=value`, split at the first sign. */
export function pair(option: string, text: string): [name: string, value: string] {
  const at = text.indexOf('=')
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)]
  throw new UsageError(`${option} takes name=value, not "${text}".`)
}

export function list(text: string): string[] {
  return text
    .split(',')
    .map(each => each.trim())
    .filter(each => each !== '')
}
