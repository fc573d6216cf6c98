/** The processes of one machine as a table: what each needs first, where it starts, what it is told. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Edge } from './flags.ts'

export type PlaceSpec = {
  name: string
  /** Path from the root of the project. */
  entry: string
  after: string[]
  edge?: Edge
  /** False: it never sees the database. */
  database: boolean
  env?: Record<string, string>
}

/** Memory that a model gave back returns to the system, and nothing is reported to anyone. */
const ENGINE_ENV = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_TRIM_THRESHOLD_: '131072',
  ORT_DISABLE_TELEMETRY: '1',
}

/** From the innermost to the edge; a stop goes the other way. `migrations` is the step before. */
export const PLACES: PlaceSpec[] = [
  { name: 'objects', entry: 'local/places/objects.ts', after: [], edge: 'node', database: true },
  {
    name: 'functions',
    entry: 'local/places/functions.ts',
    after: ['migrations'],
    database: true,
  },
  {
    name: 'runner',
    entry: 'gpu-runners/worker.ts',
    after: ['migrations'],
    database: false,
    env: { GALLEY_RUNNER: 'runner-0', ...ENGINE_ENV },
  },
  {
    name: 'router',
    entry: 'local/places/router.ts',
    after: ['functions'],
    edge: 'workerd',
    database: false,
  },
  {
    name: 'edge',
    entry: 'local/places/edge.ts',
    after: ['objects', 'functions'],
    edge: 'node',
    database: true,
  },
  {
    name: 'edge',
    entry: 'local/places/workerd.ts',
    after: ['functions', 'router'],
    edge: 'workerd',
    database: true,
  },
]

const ROOT = fileURLToPath(new URL('..', import.meta.url))

export function entryPath(place: PlaceSpec): string {
  return join(ROOT, place.entry)
}
