/** When answers change: where a fault of a microsecond would show. */
import type { Row } from '#core/features/online/view.ts'
import type { Span, ViewPlan } from '#schemas/feature.ts'

/** Of each entity. */
export const MOMENTS_MAX = 60

/**
 * Moments of an entity, each once, none past `until`: an event happens and becomes known, is taken back, and
 * leaves each span. At most so many, spread over all of them by a step that divides nothing evenly.
 */
export function momentsOf(view: ViewPlan, rows: readonly Row[], until: number): number[] {
  const found = new Set<number>()
  const spans = new Map(view.features.map(({ span }) => [JSON.stringify(span), span]))
  const add = (...times: (number | null)[]) => {
    for (const time of times) if (time !== null && time <= until) found.add(time)
  }
  for (const row of rows) {
    add(row.eventTime, row.eventTime + 1, row.knownAt - 1, row.knownAt)
    if (row.retractedAt !== null) add(row.retractedAt - 1, row.retractedAt)
    for (const span of spans.values()) add(...endsOf(span, row.eventTime))
  }
  add(until)
  const all = [...found].sort((a, b) => a - b)
  if (all.length <= MOMENTS_MAX) return all
  const step = all.length / MOMENTS_MAX
  return Array.from({ length: MOMENTS_MAX }, (_, i) => all[Math.floor(i * step)]!)
}

/** The last moment at which the span of a question holds the event, and the one after it. */
function endsOf(span: Span, eventTime: number): (number | null)[] {
  if (span.kind === 'latest') return span.ttl === null ? [] : after(eventTime + span.ttl)
  if (span.kind === 'sliding') return after(eventTime + span.length)
  const { hop, length } = span
  const next = eventTime - (((eventTime % hop) + hop) % hop) + hop
  return after(next + length - 1)
}

function after(last: number): number[] {
  return [last, last + 1]
}
