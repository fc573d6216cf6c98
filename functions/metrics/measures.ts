/** What the functions count: requests by what answers them, and messages of their queues. */
import type { Amount, Distribution, Registry, Snapshot } from '#platform/metrics/registry.ts'

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
/** Routes, and paths of what places ask among themselves. */
const FUNCTIONS_MAX = 400

export type FunctionMeasures = {
  /** `name`: the route, or the path of what places ask among themselves. */
  answered(name: string, status: number, ms: number): void
  messages(queue: string, counts: { handled: number; failed: number }): void
  snapshot(): Snapshot
}

export function openMeasures(registry: Registry): FunctionMeasures {
  const requests = registry.counter(
    'galley_function_requests_total',
    'Requests that the functions answered, by route or internal path, and status.',
    ['function', 'code'],
    1_000,
  )
  const seconds = registry.histogram(
    'galley_function_seconds',
    'From a request to its answer at the functions.',
    { labels: ['function'], buckets: SECONDS, max: FUNCTIONS_MAX },
  )
  const messages = registry.counter(
    'galley_messages_total',
    'Messages of queues that were handled, or that failed and come again.',
    ['queue', 'outcome'],
  )
  const held = new Map<string, { seconds: Distribution; codes: Map<number, Amount> }>()
  return {
    answered(name, status, ms) {
      const of = held.get(name) ?? { seconds: seconds.of(name), codes: new Map() }
      held.set(name, of)
      of.seconds.observe(ms / 1_000)
      const count = of.codes.get(status) ?? requests.of(name, String(status))
      of.codes.set(status, count)
      count.add()
    },
    messages(queue, { handled, failed }) {
      if (handled > 0) messages.of(queue, 'handled').add(handled)
      if (failed > 0) messages.of(queue, 'failed').add(failed)
    },
    snapshot: () => registry.snapshot(),
  }
}
