/** The refusal of tensors that do not fit: always 400, always naming what was given and what fits. */
import { AppError } from '#core/error.ts'

export function invalid(text: string): never {
  throw new AppError('invalid_input', { public: text })
}

/** A value as it may stand in an error: short, whatever the caller sent. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  if (value === undefined) return 'nothing'
  if (typeof value === 'object' && value !== null) return 'an object'
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

/** Names as they stand in an error. */
export function listed(names: Iterable<string>): string {
  return [...names].map(name => `"${name}"`).join(', ')
}
