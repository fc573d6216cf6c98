/**
 * Readings as text, in the form that Prometheus takes (text-based format 0.0.4). Families of one name from
 * several processes stand together, told apart by the label `process`.
 */
import type { Counted, Family, Reading } from './registry.ts'

export const TEXT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export function textOf(readings: readonly Reading[]): string {
  const families = new Map<string, { family: Family; lines: string[] }>()
  for (const { process, snapshot } of readings) {
    for (const family of snapshot) {
      const known = families.get(family.name) ?? { family, lines: [] }
      families.set(family.name, known)
      for (const [values, value] of family.series) {
        const pairs = family.labels.map((label, i) => pair(label, values[i]!))
        known.lines.push(...linesOf(family, [pair('process', process), ...pairs], value))
      }
    }
  }
  return [...families.values()]
    .filter(({ lines }) => lines.length > 0)
    .map(({ family: { name, help, type }, lines }) => {
      const about = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
      return `# HELP ${name} ${about}\n# TYPE ${name} ${type}\n${lines.join('')}`
    })
    .join('')
}

function linesOf({ name, buckets }: Family, pairs: string[], value: number | Counted): string[] {
  if (typeof value === 'number') return [`${name}{${pairs}} ${numberText(value)}\n`]
  const { counts, sum } = value
  let total = 0
  const lines = counts.map((count, at) => {
    total += count
    const bound = pair('le', numberText(buckets?.[at] ?? Infinity))
    return `${name}_bucket{${[...pairs, bound]}} ${total}\n`
  })
  lines.push(`${name}_sum{${pairs}} ${numberText(sum)}\n`, `${name}_count{${pairs}} ${total}\n`)
  return lines
}

function pair(label: string, value: string): string {
  const escaped = value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
  return `${label}="${escaped}"`
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value)
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
}
