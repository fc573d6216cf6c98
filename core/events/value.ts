/** Values of fields as senders write them, brought into the form in which they are stored and compared. */
import type { Field, Value } from '#schemas/event.ts'
import { microsOf } from './time.ts'

const TEXT_MAX_DEFAULT = 1_000
/** Every decimal of so many digits has a double of its own. */
const DOUBLE_EXACT_MAX = 999_999_999_999_999

type Wrong = { detail: string }

/** The value in stored form, within the field's bounds; or what is wrong with it. */
export function storedValue(field: Field, value: unknown): Exclude<Value, null> | Wrong {
  const stored = typedValue(field, value)
  if (typeof stored === 'object') return stored
  const { enum: allowed, min, max, type, scale = 0 } = field
  if (allowed && !allowed.includes(stored as string | number)) {
    return { detail: `It must be one of ${allowed.map(each => shown(each, field)).join(', ')}.` }
  }
  if (typeof stored === 'number' && type !== 'time') {
    const unit = 10 ** scale
    if (min !== undefined && stored < min) return { detail: `It must be at least ${min / unit}.` }
    if (max !== undefined && stored > max) return { detail: `It must be at most ${max / unit}.` }
  }
  return stored
}

function shown(value: string | number, { type, scale = 0 }: Field): string {
  return type === 'decimal' ? String(Number(value) / 10 ** scale) : JSON.stringify(value)
}

function typedValue(field: Field, value: unknown): Exclude<Value, null> | Wrong {
  switch (field.type) {
    case 'int':
      return wholeOf(value, 0)
    case 'decimal':
      return wholeOf(value, field.scale ?? 0)
    case 'float':
      // JSON can write 1e999, which is no number any more; and -0 is 0.
      return Number.isFinite(value) ? (value as number) + 0 : { detail: 'It must be a number.' }
    case 'bool':
      return typeof value === 'boolean' ? value : { detail: 'It must be true or false.' }
    case 'time': {
      const micros = typeof value === 'string' ? microsOf(value) : null
      return micros ?? { detail: 'It must be a time such as 2026-01-31T12:00:00Z.' }
    }
    case 'string': {
      const max = field.length_max ?? TEXT_MAX_DEFAULT
      if (typeof value !== 'string') return { detail: 'It must be a text.' }
      if (value.length > max) return { detail: `It must have at most ${max} characters.` }
      return isStorable(value) ? value : { detail: 'It holds characters that cannot be stored.' }
    }
  }
}

/** A number, or its digits, as a whole number of the last digit that is kept. */
function wholeOf(value: unknown, scale: number): number | Wrong {
  const kind =
    scale === 0 ? 'a whole number' : `a number with at most ${scale} digits after the point`
  const isGiven = typeof value === 'number' || typeof value === 'string'
  const [, sign, whole, fraction = '', exponent = '0'] =
    /^(-?)(\d{1,40})(?:\.(\d{1,40}))?(?:e([+-]?\d{1,3}))?$/i.exec(isGiven ? String(value) : '') ??
    []
  if (whole === undefined) return { detail: `It must be ${kind}.` }
  const digits = (whole + fraction).replace(/0+$/, '')
  // How far the last of these digits is from the last that is kept.
  const shift = whole.length + Number(exponent) + scale - digits.length
  if (digits === '' || /^0*$/.test(digits)) return 0
  if (shift < 0) return { detail: `It must be ${kind}.` }
  const unscaled = Number(`${digits}e${shift}`)
  if (!Number.isSafeInteger(unscaled)) return { detail: 'It is too large: 15 digits are exact.' }
  if (scale > 0 && typeof value === 'number' && unscaled > DOUBLE_EXACT_MAX) {
    return { detail: 'As a JSON number it is exact to 15 digits only: send it as a text.' }
  }
  return sign ? -unscaled : unscaled
}

/** PostgreSQL stores no U+0000, and UTF-8 has no half of a surrogate pair. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed()
}
