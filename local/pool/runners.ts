/** The pool of `--runners 0..8`: the runner of the table of places, as often as capacity says. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Decision } from '#core/capacity/policy.ts'
import type { Clock, Log } from '#core/deps.ts'
import type { PlaceSpec } from '../children.ts'
import { workedFor } from '../env.ts'
import type { Flags } from '../flags.ts'
import type { ChildSpec } from '../supervisor.ts'
import { openAsking } from './asking.ts'
import { openPool, type Pool } from './pool.ts'
import { keepSized } from './sizing.ts'

/** A decision is a few queries; a start takes a second or two here. */
const EVERY_MS = 2_000

type Deps = {
  clock: Clock
  log: Log
  childOf(place: PlaceSpec): ChildSpec
  places: readonly PlaceSpec[]
}

export type Sized = Pick<Pool, 'pids' | 'stop'>

/** Undefined where their number is fixed: then the supervisor has them. */
export async function openRunners(
  { childOf, places, ...deps }: Deps,
  flags: Pick<Flags, 'runners' | 'runnersMax'>,
  functions: { signingKey: string; functionsPort: number },
): Promise<Sized | undefined> {
  const runner = places.find(place => place.env?.GALLEY_RUNNER)
  if (flags.runnersMax === undefined || !runner) return undefined
  const ask = await openAsking(functions.signingKey, functions.functionsPort)
  const specs = new Map<string, ChildSpec>()
  const specOf = (name: string) => {
    const env = { ...runner.env, GALLEY_RUNNER: name }
    // Once a name: each opens a log file.
    if (!specs.has(name)) specs.set(name, childOf({ ...runner, name, env }))
    return specs.get(name)!
  }
  const pool = openPool(
    { ...deps, start: (name, signal) => specOf(name).start(signal) },
    {
      classes: workedFor(),
      least: flags.runners,
      most: flags.runnersMax,
      first: withReceipts('receipts'),
    },
  )
  const stopping = new AbortController()
  const sizing = keepSized(
    {
      ...deps,
      decide: fleet => ask<Decision>('/internal/capacity', fleet),
      pause: (withinMs, signal) => ask('/internal/capacity/called', { withinMs }, signal),
    },
    { pool, everyMs: EVERY_MS, signal: stopping.signal },
  )
  return {
    pids: pool.pids,
    async stop(graceMs) {
      stopping.abort()
      await Promise.all([pool.stop(graceMs), sizing])
    },
  }
}

/** Runners that ended before the ledger had what they did. The data folder is the working directory. */
function withReceipts(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder).filter(
    name => /^runner-\d+$/.test(name) && readdirSync(join(folder, name)).length > 0,
  )
}
