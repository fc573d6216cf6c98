/** A view over the events of one entity, as of one time: which of them count, and what follows from them. */
import type { FeaturePlan, Span, ViewPlan, ViewValues } from '#schemas/feature.ts'
import { evaluator, parseExpression, type Scope } from '../expression.ts'
import { accumulator, finalize } from '../finalize.ts'
import type { Row } from './rows.ts'

export type { Row }

export type CompiledView = {
  plan: ViewPlan
  counts(row: Row, at: number): boolean
  /** Features that look at the same events are computed in one pass. */
  groups: { span: Span; members: { feature: FeaturePlan; index: number }[] }[]
}

/** `fields`: types of the fields that the filter names. */
export function compileForReading(plan: ViewPlan): CompiledView {
  const groups = new Map<string, CompiledView['groups'][number]>()
  for (const [index, feature] of plan.features.entries()) {
    const name = JSON.stringify(feature.span)
    const group = groups.get(name) ?? { span: feature.span, members: [] }
    group.members.push({ feature, index })
    groups.set(name, group)
  }
  return { plan, counts: countsOf(plan), groups: [...groups.values()] }
}

/** Whether the event is seen at all at this time, whatever the span. */
function countsOf({ filter, fields, latenessMax }: ViewPlan): CompiledView['counts'] {
  const holds =
    filter === null
      ? null
      : evaluator<Row>(
          parseExpression(filter, fields as Scope),
          name => row => row.data[name] ?? null,
        )
  return (row, at) => {
    if (row.knownAt > at || row.knownAt - row.eventTime > latenessMax) return false
    if (row.retractedAt !== null && row.retractedAt <= at) return false
    return holds === null || holds(row) === true
  }
}

/** Values as they were known at `at`. Rows are in the order of (eventTime, knownAt, seq). */
export function valuesOf(view: CompiledView, rows: readonly Row[], at: number): ViewValues {
  const size = view.plan.features.length
  const found: ViewValues = {
    values: new Array(size),
    statuses: new Array(size),
    eventTimes: new Array(size).fill(null),
  }
  const end = firstFrom(rows, at)
  for (const { span, members } of view.groups) {
    if (span.kind === 'latest') readLatest(view, rows, end, at, span.ttl, members, found)
    else readWindow(view, rows, firstFrom(rows, startOf(span, at)), end, at, members, found)
  }
  return found
}

/** The first event time of the span. */
export function startOf(span: Exclude<Span, { kind: 'latest' }>, at: number): number {
  const from = at - span.length
  if (span.kind === 'sliding') return from
  // Whole numbers throughout: a quotient would round.
  return from - (((from % span.hop) + span.hop) % span.hop)
}

type Members = CompiledView['groups'][number]['members']

function readWindow(
  view: CompiledView,
  rows: readonly Row[],
  from: number,
  end: number,
  at: number,
  members: Members,
  into: ViewValues,
): void {
  const sums = members.map(({ feature }) => accumulator(feature))
  for (let i = from; i < end; i++) {
    const row = rows[i]!
    if (!view.counts(row, at)) continue
    for (const [j, { feature }] of members.entries()) {
      sums[j]!.add(feature.of === null ? null : (row.data[feature.of] ?? null))
    }
  }
  for (const [j, { feature, index }] of members.entries()) {
    const { value, status } = finalize(feature, sums[j]!.ir())
    into.values[index] = value
    into.statuses[index] = status
  }
}

/** The newest event that counts; one before the ttl only says that there was one. */
function readLatest(
  view: CompiledView,
  rows: readonly Row[],
  end: number,
  at: number,
  ttl: number | null,
  members: Members,
  into: ViewValues,
): void {
  let i = end - 1
  while (i >= 0 && !view.counts(rows[i]!, at)) i--
  const row = rows[i]
  const isOlder = row !== undefined && ttl !== null && row.eventTime < at - ttl
  for (const { feature, index } of members) {
    const n = row === undefined || isOlder ? 0 : 1
    const value = n === 0 ? null : (row!.data[feature.of!] ?? null)
    const result = finalize(feature, { n, older: isOlder, value })
    into.values[index] = result.value
    into.statuses[index] = result.status
    if (n === 1) into.eventTimes[index] = row!.eventTime
  }
}

/** The index of the first row whose event time is not before. */
function firstFrom(rows: readonly Row[], eventTime: number): number {
  let [low, high] = [0, rows.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (rows[middle]!.eventTime < eventTime) low = middle + 1
    else high = middle
  }
  return low
}
