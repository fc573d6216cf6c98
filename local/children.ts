/** The processes of one machine as a table: what each needs first, where it starts, what it is told. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Edge, Flags } from './flags.ts'

export type PlaceSpec = {
  name: string
  /** Path from the root of the project. */
  entry: string
  after: string[]
  edge?: Edge
  /** False: it never sees the database. */
  database: boolean
  /** The signing keys that it holds. */
  keys: SigningKey[]
  env?: Record<string, string>
  /** Of Node. */
  flags?: readonly string[]
}
/** The deployment's secret, from which every key follows, or the key of one place. */
export type SigningKey =
  | 'GALLEY_SECRET'
  | 'GALLEY_EDGE_KEY'
  | 'GALLEY_FUNCTIONS_KEY'
  | 'GALLEY_RUNNER_KEY'

/** Memory that a model gave back returns to the system, and nothing is reported to anyone. */
const ENGINE_ENV = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_TRIM_THRESHOLD_: '131072',
  ORT_DISABLE_TELEMETRY: '1',
}

/**
 * Room for what lives as long as a request, so that little of it is copied: a tenth off what one costs the edge.
 * What a rush has left is not collected in the calm that follows, to give memory back: everyone who asks
 * then would wait for it, up to 40 ms.
 */
const MANY_REQUESTS = ['--max-semi-space-size=64', '--no-memory-reducer']

/** From the innermost to the edge; a stop goes the other way. `migrations` is the step before. */
export const PLACES: PlaceSpec[] = [
  {
    name: 'objects',
    entry: 'local/places/objects.ts',
    after: [],
    edge: 'node',
    database: false,
    keys: ['GALLEY_EDGE_KEY', 'GALLEY_FUNCTIONS_KEY'],
  },
  {
    name: 'functions',
    entry: 'local/places/functions.ts',
    after: ['migrations'],
    database: true,
    keys: ['GALLEY_SECRET'],
  },
  {
    name: 'runner',
    entry: 'gpu-runners/worker.ts',
    after: [],
    database: false,
    keys: ['GALLEY_RUNNER_KEY'],
    env: { GALLEY_RUNNER: 'runner-0', ...ENGINE_ENV },
    flags: MANY_REQUESTS,
  },
  {
    name: 'router',
    entry: 'local/places/router.ts',
    after: ['functions'],
    edge: 'workerd',
    database: false,
    keys: ['GALLEY_EDGE_KEY', 'GALLEY_RUNNER_KEY'],
  },
  {
    name: 'edge',
    entry: 'local/places/edge.ts',
    after: [],
    edge: 'node',
    database: false,
    keys: ['GALLEY_EDGE_KEY', 'GALLEY_RUNNER_KEY'],
    flags: MANY_REQUESTS,
  },
  {
    name: 'edge',
    entry: 'local/places/workerd.ts',
    after: ['functions', 'router'],
    edge: 'workerd',
    database: false,
    keys: ['GALLEY_EDGE_KEY', 'GALLEY_FUNCTIONS_KEY'],
  },
]

/** The places of a start: of runners as many as are asked for, each with a name and a log of its own. */
export function placesFor(
  places: readonly PlaceSpec[],
  flags: Pick<Flags, 'edge' | 'runners' | 'runnersMax'>,
) {
  return places
    .filter(place => !place.edge || place.edge === flags.edge)
    .flatMap(place => {
      if (!place.env?.GALLEY_RUNNER) return [place]
      // Of those the pool says how many there are.
      const runners = flags.runnersMax === undefined ? flags.runners : 0
      return Array.from({ length: runners }, (_, i) => {
        const env = { ...place.env, GALLEY_RUNNER: `runner-${i}` }
        return { ...place, name: i === 0 ? place.name : `${place.name}-${i}`, env }
      })
    })
}

const ROOT = fileURLToPath(new URL('..', import.meta.url))

export function entryPath(place: PlaceSpec): string {
  return join(ROOT, place.entry)
}
