/** Why a view is what it is for an entity: its events, and of which features each is a part. */
import type { ExplainedEvent } from '#schemas/feature.ts'
import type { Row } from './rows.ts'
import { type CompiledView, startOf } from './view.ts'

/** Events inside any of the view's spans, the newest first; in order as rows are. */
export function explained(
  view: CompiledView,
  rows: readonly Row[],
  at: number,
  eventsMax: number,
): { events: ExplainedEvent[]; eventsTotal: number } {
  const { latenessMax } = view.plan
  const before = rows.filter(({ eventTime }) => eventTime < at)
  const newest = before.findLast(row => view.counts(row, at))
  const found = before.toReversed().flatMap((row): ExplainedEvent[] => {
    const inSpan: string[] = []
    let isOlder = false
    for (const { span, members } of view.groups) {
      const names = members.map(({ feature }) => feature.name)
      if (span.kind !== 'latest') {
        if (row.eventTime >= startOf(span, at)) inSpan.push(...names)
      } else if (row === newest || !newest) {
        const isFresh = span.ttl === null || row.eventTime >= at - span.ttl
        if (isFresh) inSpan.push(...names)
        else isOlder = true
      }
    }
    if (inSpan.length === 0 && !isOlder) return []
    const leftOut = reasonOf(view, row, at, latenessMax) ?? (inSpan.length === 0 ? 'older' : null)
    return [{ ...row, features: leftOut === null ? inSpan : [], leftOut }]
  })
  return { events: found.slice(0, eventsMax), eventsTotal: found.length }
}

function reasonOf(
  view: CompiledView,
  row: Row,
  at: number,
  latenessMax: number,
): ExplainedEvent['leftOut'] {
  if (view.counts(row, at)) return null
  if (row.knownAt > at) return 'not_known_yet'
  if (row.knownAt - row.eventTime > latenessMax) return 'late'
  return row.retractedAt !== null && row.retractedAt <= at ? 'retracted' : 'filtered'
}
