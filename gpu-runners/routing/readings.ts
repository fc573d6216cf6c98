/** What the router measures, and what its runners say when they are asked. */
import { question, type Runner } from '#gpu-runners/routing/runner.ts'
import type { Reading, Registry } from '#platform/metrics/registry.ts'

/** A runner that computes answers between two batches; one that hangs is left out. */
const ANSWER_MS_MAX = 1_000

export type Readings = () => Promise<Reading[]>

export function openReadings(
  deps: { runners: Set<Runner>; waiting: { size: number }; registry: Registry },
  newId: () => number,
): Readings {
  const { runners, waiting, registry } = deps
  const of = ['runner']
  const there = registry.gauge('galley_router_runners', 'Runners whose channel is open.').of()
  const queued = registry
    .gauge('galley_router_waiting', 'Requests that wait for a runner, or for a load.')
    .of()
  const inFlight = registry.gauge('galley_router_in_flight', 'Requests sent to a runner.', of)
  const backlog = registry.gauge('galley_router_backlog_seconds', 'What a runner has to do.', of)
  const up = registry.gauge('galley_up', 'Whether a runner answered with its measures.', of)
  const refused = registry.counter(
    'galley_router_refused_total',
    'Requests refused for what their runner had refused just before.',
    of,
  )
  const told = new WeakMap<Runner, number>()
  registry.onRead(() => {
    there.set(runners.size)
    queued.set(waiting.size)
    for (const gauge of [inFlight, backlog, up]) gauge.clear()
    for (const runner of runners) {
      inFlight.of(runner.name).set(runner.pending.size)
      backlog.of(runner.name).set(runner.backlogUs / 1e6)
      const { count } = runner.refusals
      refused.of(runner.name).add(count - (told.get(runner) ?? 0))
      told.set(runner, count)
    }
  })

  async function ask(runner: Runner): Promise<Reading[]> {
    const late = Promise.withResolvers<null>()
    const timer = setTimeout(() => late.resolve(null), ANSWER_MS_MAX)
    const asked = question(runner, newId(), { do: 'measure' })
    const answer = await Promise.race([asked, late.promise]).catch(() => null)
    clearTimeout(timer)
    asked.catch(() => {})
    if (!answer?.measured) return []
    return [{ process: runner.name, snapshot: answer.measured }]
  }

  return async () => {
    // One that has dialled again may still have its old channel too: no series stands twice.
    const asked = [...new Map([...runners].map(runner => [runner.name, runner])).values()]
    const told = await Promise.all(asked.map(ask))
    const snapshot = registry.snapshot()
    const { series } = snapshot.find(({ name }) => name === 'galley_up')!
    for (const [at, { name }] of asked.entries()) series.push([[name], told[at]!.length])
    return [{ process: 'router', snapshot }, ...told.flat()]
  }
}
