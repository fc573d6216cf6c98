/** Rows that are asked for: the entities they name, as keys. */
import type { EntityKey } from '#core/deps.ts'
import { invalidAt, type Reader } from '#core/features/reader.ts'

export { compileReader, invalidAt, type Reader } from '#core/features/reader.ts'

/** The keys of one row's entities, in the order of the reader's. Throws `invalid_body` at the pointer. */
export function keysOf(
  reader: Reader,
  given: Record<string, unknown>,
  pointer: string,
): EntityKey[] {
  return reader.entities.map(entity => {
    const value = given[entity]
    const text = Array.isArray(value)
      ? value.every(isKeyPart) && JSON.stringify(value.map(String))
      : isKeyPart(value) && String(value)
    if (text) return { entity, entityKey: text }
    const detail =
      value === undefined
        ? `The service reads features of "${entity}", and its key is missing.`
        : `The key of "${entity}" must be a text, a whole number or a list of them.`
    throw invalidAt(`${pointer}/${entity}`, detail)
  })
}

export function isKeyPart(value: unknown): value is string | number | boolean {
  return (
    (typeof value === 'string' && value !== '' && value.length <= 10_000) ||
    Number.isSafeInteger(value) ||
    typeof value === 'boolean'
  )
}
