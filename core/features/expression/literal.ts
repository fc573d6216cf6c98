/** Literals: what stands in an expression as it is. */
import type { FieldType, Value } from '#schemas/event.ts'
import { type Literal, type Type, wrong } from './tree.ts'

/** Digits after the point make a decimal, which compares exactly; an exponent, or too many of them, a float. */
export function numberLiteral(text: string, digits: string, at: number): Literal {
  if (/[eE]/.test(digits)) return literal(Number(digits), { type: 'float' }, at)
  const [whole, fraction = ''] = digits.split('.')
  const value = Number(`${whole}${fraction}`)
  if (fraction && !Number.isSafeInteger(value))
    return literal(Number(digits), { type: 'float' }, at)
  if (!Number.isSafeInteger(value)) throw wrong(text, at, 'A number has at most 15 digits')
  return fraction
    ? literal(value, { type: 'decimal', scale: fraction.length }, at)
    : literal(value, { type: 'int' }, at)
}

export function literal(
  value: Value,
  of: Type & { type: FieldType | 'null' },
  at: number,
): Literal {
  return { kind: 'literal', value, of, at }
}
