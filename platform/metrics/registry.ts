/**
 * Measures of one process, for Prometheus: counters, gauges and histograms by labels. Whoever measures
 * often holds the series itself, so that counting is an addition. Runs in every runtime, and what it holds
 * travels between processes as plain data; `docs/decisions/0014-own-metrics.md` says why it is our own.
 */

/** Of one family; what comes beyond them is counted together as "other", so that no label grows without bound. */
const SERIES_MAX = 200
const OTHER = 'other'

export type Counted = { counts: number[]; sum: number }
export type Family = {
  name: string
  help: string
  type: 'counter' | 'gauge' | 'histogram'
  labels: readonly string[]
  /** Upper bounds of a histogram's buckets, ascending; the last one, infinity, is not named. */
  buckets?: readonly number[]
  /** Of its series; past it "other" is counted. */
  max: number
  series: [values: readonly string[], value: number | Counted][]
}
export type Snapshot = Family[]
/** What a process has measured. */
export type Reading = { process: string; snapshot: Snapshot }

export class Amount {
  value = 0
  get isZero(): boolean {
    return this.value === 0
  }
  add(by = 1): void {
    this.value += by
  }
  set(to: number): void {
    this.value = to
  }
  reset(): void {
    this.value = 0
  }
}

export class Distribution {
  readonly counts: number[]
  sum = 0
  readonly #buckets: readonly number[]

  constructor(buckets: readonly number[]) {
    this.#buckets = buckets
    this.counts = new Array<number>(buckets.length + 1).fill(0)
  }

  get isZero(): boolean {
    return this.counts.every(count => count === 0)
  }

  reset(): void {
    this.counts.fill(0)
    this.sum = 0
  }

  observe(value: number): void {
    this.counts[this.#at(value)]!++
    this.sum += value
  }

  /** Another one's, whose buckets may be those of another version: what fits in none of ours goes into the next above. */
  absorb({ counts, sum }: Counted, buckets: readonly number[]): void {
    counts.forEach((count, at) => {
      this.counts[this.#at(buckets[at] ?? Infinity)]! += count
    })
    this.sum += sum
  }

  #at(value: number): number {
    let at = 0
    while (at < this.#buckets.length && value > this.#buckets[at]!) at++
    return at
  }
}

/** The series of a family by the values of its labels. */
export class Vector<S extends Amount | Distribution> {
  readonly family: Omit<Family, 'series'>
  readonly #series = new Map<string, { values: readonly string[]; series: S }>()
  readonly #open: () => S

  constructor(family: Omit<Family, 'series'>, open: () => S) {
    this.family = family
    this.#open = open
  }

  of(...values: string[]): S {
    const key = values.join('\0')
    const known = this.#series.get(key)
    if (known) return known.series
    const isFull = this.#series.size >= this.family.max && values.some(value => value !== OTHER)
    if (isFull) return this.of(...values.map(() => OTHER))
    const series = this.#open()
    this.#series.set(key, { values, series })
    return series
  }

  /** Of a gauge whose things come and go: none is left of those that went. */
  clear(): void {
    this.#series.clear()
  }

  read(): Family {
    const series = [...this.#series.values()].map(
      ({ values, series }): Family['series'][number] => [values, readingOf(series)],
    )
    return { ...this.family, series }
  }

  /** What has grown, which is zero again afterwards. Who holds a series goes on counting on it. */
  take(): Family {
    const grown = [...this.#series.values()].filter(({ series }) => !series.isZero)
    const series = grown.map(({ values, series }): Family['series'][number] => {
      const value = readingOf(series)
      series.reset()
      return [values, value]
    })
    return { ...this.family, series }
  }
}

/** Equal where values can be added up. Processes of two versions of the code may count differently under one name. */
export function formOf({ name, type, labels }: Omit<Family, 'series'>): string {
  return JSON.stringify([name, type, labels])
}

function readingOf(series: Amount | Distribution): number | Counted {
  if (series instanceof Amount) return series.value
  return { counts: [...series.counts], sum: series.sum }
}

export class Registry {
  readonly #vectors = new Map<string, Vector<Amount | Distribution>>()
  readonly #readers: (() => void)[] = []

  /** Its name ends in `_total`. */
  counter(name: string, help: string, labels: readonly string[] = [], max = SERIES_MAX) {
    return this.#vector({ name, help, type: 'counter', labels, max }, () => new Amount())
  }

  gauge(name: string, help: string, labels: readonly string[] = [], max = SERIES_MAX) {
    return this.#vector({ name, help, type: 'gauge', labels, max }, () => new Amount())
  }

  histogram(
    name: string,
    help: string,
    o: { labels?: readonly string[]; buckets: readonly number[]; max?: number },
  ) {
    const { labels = [], buckets, max = SERIES_MAX } = o
    const family = { name, help, type: 'histogram' as const, labels, buckets, max }
    return this.#vector(family, () => new Distribution(buckets))
  }

  /** Called before each reading: for what is looked at and not counted. */
  onRead(look: () => void): void {
    this.#readers.push(look)
  }

  snapshot(): Snapshot {
    for (const look of this.#readers) look()
    return [...this.#vectors.values()].map(vector => vector.read())
  }

  /** How it stands; for a process that does not live to be asked. */
  gauges(): Snapshot {
    for (const look of this.#readers) look()
    return [...this.#vectors.values()]
      .filter(({ family }) => family.type === 'gauge')
      .map(vector => vector.read())
  }

  /** What was counted since the last call, for the same; the gauges are no part of it. */
  takeGrowth(): Snapshot {
    for (const look of this.#readers) look()
    return [...this.#vectors.values()]
      .filter(({ family }) => family.type !== 'gauge')
      .map(vector => vector.take())
      .filter(({ series }) => series.length > 0)
  }

  /** Adds the growth of another process. */
  absorb(growth: Snapshot): void {
    for (const { series, ...family } of growth) {
      const vector = this.#vector<Amount | Distribution>(family, () =>
        family.buckets ? new Distribution(family.buckets) : new Amount(),
      )
      for (const [values, value] of series) {
        const own = vector.of(...values)
        if (own instanceof Amount) own.add(value as number)
        else own.absorb(value as Counted, family.buckets ?? [])
      }
    }
  }

  #vector<S extends Amount | Distribution>(
    family: Omit<Family, 'series'>,
    open: () => S,
  ): Vector<S> {
    const form = formOf(family)
    const known = this.#vectors.get(form)
    if (known) return known as Vector<S>
    const vector = new Vector(family, open)
    this.#vectors.set(form, vector as unknown as Vector<Amount | Distribution>)
    return vector
  }
}
