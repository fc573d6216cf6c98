/** Values as callers see them: decimals in units, times as texts, integers that no double holds as digits. */
import { textOf } from '#core/events/time.ts'
import type { Value } from '#schemas/event.ts'
import type { FeatureValue, ValueType } from '#schemas/feature.ts'

export type Show = (value: FeatureValue) => FeatureValue

/** Made once per output. */
export function showAs(type: ValueType): Show {
  const one = showOne(type)
  if (type.list) return value => (value === null ? null : (value as Value[]).map(one))
  return one as Show
}

function showOne({ type, scale = 0 }: ValueType): (value: Value) => Value {
  if (type === 'time') return value => (value === null ? null : textOf(value as number))
  if (type !== 'decimal' || scale === 0) return value => value
  const unit = 10 ** scale
  return value => {
    if (typeof value === 'number') return value / unit
    return typeof value === 'string' ? pointed(value, scale) : null
  }
}

/** Digits of an integer that is too large for a number, with the point where it belongs. */
function pointed(digits: string, scale: number): string {
  const sign = digits.startsWith('-') ? '-' : ''
  const padded = digits.slice(sign.length).padStart(scale + 1, '0')
  return `${sign}${padded.slice(0, -scale)}.${padded.slice(-scale)}`
}
