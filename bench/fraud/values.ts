/** Values as flags give them, and as the last line shows them. */

export function wholeOf(name: string, text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new Error(`--${name} takes a whole number above 0, not "${text}"`)
}

export function edgeOf(text: string): 'node' | 'workerd' {
  if (text === 'node' || text === 'workerd') return text
  throw new Error(`--edge is node or workerd, not "${text}"`)
}

export function rounded(value: number): number {
  return Math.round(value * 1e4) / 1e4
}
