/**
 * JSON in which integers keep all their digits: those that a number cannot hold are bigints. Tensors
 * of 64-bit integers need it; everything else is better off with `JSON`.
 */

// Standard in ECMAScript since "JSON.parse source text access", and not yet in TypeScript's library.
type Reviver = (key: string, value: unknown, context: { source: string }) => unknown
const json = JSON as unknown as {
  parse(text: string, reviver: Reviver): unknown
  rawJSON(text: string): unknown
}

export function parseExact(text: string): unknown {
  return json.parse(text, (_key, value, context) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context.source)
      ? BigInt(context.source)
      : value,
  )
}

export function stringifyExact(value: unknown, space?: number): string {
  const raw = (_key: string, each: unknown) =>
    typeof each === 'bigint' ? json.rawJSON(String(each)) : each
  return JSON.stringify(value, raw, space)
}
