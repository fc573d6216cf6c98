/** Times in microseconds UTC, from and to RFC 3339. */

const FORM = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2})$/

/** Null for a text that is no time. Digits past the microsecond are cut. */
export function microsOf(text: string): number | null {
  const [, date, time, fraction = '', zone] = FORM.exec(text) ?? []
  if (!date || time!.startsWith('24')) return null
  const ms = Date.parse(`${date}T${time}${zone!.toUpperCase()}`)
  // A 30th of February would be a day in March.
  if (date.slice(8) > '28' && !isDay(date)) return null
  return Number.isNaN(ms) ? null : ms * 1_000 + Number(fraction.slice(0, 6).padEnd(6, '0'))
}

function isDay(date: string): boolean {
  const ms = Date.parse(date)
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(date)
}

/** With as many digits after the second as it needs: none, three or six. */
export function textOf(micros: number): string {
  const ms = Math.floor(micros / 1_000)
  const rest = micros - ms * 1_000
  const text = new Date(ms).toISOString()
  if (rest !== 0) return `${text.slice(0, -1)}${String(rest).padStart(3, '0')}Z`
  return text.endsWith('.000Z') ? `${text.slice(0, -5)}Z` : text
}
