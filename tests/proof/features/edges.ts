/** Questions at the moments at which answers change, which no read meets by chance to the microsecond. */
import type { ViewPlan } from '#schemas/feature.ts'
import type { factsOf, Question } from './offline.ts'

const QUESTIONS_MAX = 24

/** Some of them, by the seed; an event's time and when it was known, and when each span lets go of it. */
export function edgesOf(
  view: ViewPlan,
  facts: ReturnType<typeof factsOf>,
  seed: number,
): Question[] {
  const lengths = view.features.flatMap(({ span }) =>
    span.kind === 'latest' ? (span.ttl ?? []) : [span.length],
  )
  const found = facts
    .filter(({ entity }) => entity === view.entity)
    .flatMap(({ entityKey, fact: { eventTime, knownAt, retractions } }) => {
      const ends = lengths.map(length => eventTime + length)
      const times = [eventTime, knownAt, ...retractions, ...ends]
      return times.flatMap(t => [t, t + 1]).map(t => ({ entityKey, t }))
    })
  // A stride that shares no factor with their number meets each once.
  const stride = found.length % 7919 === 0 ? 1 : 7919
  const count = Math.min(QUESTIONS_MAX, found.length)
  return Array.from({ length: count }, (_, i) => found[(seed + i * stride) % found.length]!)
}
