/** What the host of objects measures: turns, what they take, and what they wait for the disk. */
import type { Registry } from '../metrics/registry.ts'

const SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1]

export type ObjectMeasures = {
  /** One turn of an object: calls that came together, run and committed in `ms`. */
  turn(className: string, calls: number, ms: number): void
  /** Until what was committed was on the disk. */
  synced(className: string, ms: number): void
}

export function openObjectMeasures(registry: Registry): ObjectMeasures {
  const calls = registry.counter('galley_object_calls_total', 'Calls of objects.', ['class'])
  const turns = registry.histogram(
    'galley_object_turn_seconds',
    'Turns of objects: calls that came together, run and committed.',
    { labels: ['class'], buckets: SECONDS },
  )
  const syncs = registry.histogram(
    'galley_object_sync_seconds',
    'From a commit until it was on the disk.',
    { labels: ['class'], buckets: SECONDS },
  )
  return {
    turn(className, count, ms) {
      calls.of(className).add(count)
      turns.of(className).observe(ms / 1_000)
    },
    synced: (className, ms) => syncs.of(className).observe(ms / 1_000),
  }
}
