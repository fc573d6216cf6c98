/** Prometheus' text form (0.0.4), read as strictly as its documentation has it: whatever is not of it throws. */

export type Family = { type: string; help: string; samples: Sample[] }
export type Sample = { name: string; labels: Record<string, string>; value: number }

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const ABOUT = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`)
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`)
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/
const NUMBER = /^([+-]?Inf|NaN|[+-]?\d+(\.\d+)?([eE][+-]?\d+)?)$/

/** Families by name, in their order. */
export function familiesIn(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line is not ended')
  const families = new Map<string, Family>()
  const seen = new Set<string>()
  let help: [name: string, text: string] | null = null
  let name = ''
  for (const line of text.slice(0, -1).split('\n')) {
    const about = ABOUT.exec(line)
    if (about?.[1] === 'HELP') {
      help = [about[2]!, about[3]!]
    } else if (about) {
      name = about[2]!
      if (families.has(name)) throw new Error(`${name} stands twice`)
      if (help?.[0] !== name) throw new Error(`${name} has no help before its type`)
      families.set(name, { type: about[3]!, help: help[1], samples: [] })
    } else {
      const sample = sampleOf(line)
      const family = families.get(name)
      if (!family || !belongs(sample.name, name, family.type))
        throw new Error(`${line} stands below ${name}`)
      const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()])
      if (seen.has(key)) throw new Error(`${line} stands twice`)
      seen.add(key)
      family.samples.push(sample)
    }
  }
  return families
}

function sampleOf(line: string): Sample {
  const [, name, inner = '', value] = SAMPLE.exec(line) ?? []
  if (!name || !NUMBER.test(value!)) throw new Error(`no sample: ${line}`)
  const labels: Record<string, string> = {}
  for (let rest = inner; rest !== ''; ) {
    const found = LABEL.exec(rest)
    if (!found) throw new Error(`no labels: ${line}`)
    const [all, label, text] = found
    if (label! in labels) throw new Error(`the label ${label} stands twice: ${line}`)
    labels[label!] = text!
    rest = rest.slice(all.length)
  }
  return { name, labels, value: Number(value!.replace('Inf', 'Infinity')) }
}

function belongs(sample: string, family: string, type: string): boolean {
  if (type !== 'histogram') return sample === family
  return ['_bucket', '_sum', '_count'].some(end => sample === family + end)
}

/** What is wrong with the values, each in a line: of counters, and of buckets, which hold all that is below them. */
export function faultsOf(families: Map<string, Family>): string[] {
  return [...families].flatMap(([name, { type, samples }]) => {
    const isCounter = type === 'counter'
    const misnamed = isCounter !== name.endsWith('_total') ? [`${name} is a ${type}`] : []
    const negative = samples
      .filter(({ value }) => type !== 'gauge' && !(value >= 0))
      .map(({ name, value }) => `${name} is ${value}`)
    return [...misnamed, ...negative, ...(type === 'histogram' ? ofBuckets(name, samples) : [])]
  })
}

function ofBuckets(name: string, samples: Sample[]): string[] {
  const of = ({ labels: { le: _, ...labels } }: Sample) => JSON.stringify(labels)
  return [...Map.groupBy(samples, of)].flatMap(([labels, all]) => {
    const buckets = all.filter(each => each.name === `${name}_bucket`)
    const bounds = buckets.map(({ labels: { le } }) => Number(le!.replace('Inf', 'Infinity')))
    const counts = buckets.map(({ value }) => value)
    const count = all.find(each => each.name === `${name}_count`)?.value
    const rises = (numbers: number[]) => numbers.every((n, i) => i === 0 || n >= numbers[i - 1]!)
    const isWhole =
      rises(bounds) && rises(counts) && bounds.at(-1) === Infinity && counts.at(-1) === count
    const hasSum = all.some(each => each.name === `${name}_sum`)
    return isWhole && hasSum
      ? []
      : [`${name}${labels} has buckets ${bounds}: ${counts} of ${count}`]
  })
}

/** Names in backticks in the first cell of a table's rows; `…_entries` goes on where the name before it begins to differ. */
export function namesIn(markdown: string): string[] {
  const cells = markdown.split('\n').flatMap(line => /^\| (`.*?`) \|/.exec(line)?.[1] ?? [])
  return cells.flatMap(cell => {
    const [first = '', ...others] = [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)
    const stem = first.replace(/_[a-z]+$/, '')
    return [first, ...others.map(name => name.replace('…', stem))]
  })
}
