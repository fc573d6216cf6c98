/** How many invocations there are side by side, and the connections to the database that follow from it. */
import { CONNECTIONS } from '../schemas/cloud/connections.ts'
import { FUNCTION_NAMES, type FunctionName } from '../schemas/cloud/functions.ts'
import { QUEUES } from '../schemas/queues.ts'
import type { StageSettings } from './settings.ts'

/** For RDS itself, for whoever looks by hand, and for the server's own reserve. */
const OTHERS = 10
/** After a deployment the invocations of the version before keep theirs until they have idled for long enough. */
const VERSIONS = 2

/** Reserved for each function: no more, and nobody else of the account takes them. */
export function invocationsOf({ requests }: StageSettings): Record<FunctionName, number> {
  return {
    api: requests,
    ingest: QUEUES.events.source.concurrencyMax,
    verify: QUEUES.uploads.source.concurrencyMax,
    relay: 1,
    sweep: 1,
    capacity: 1,
    tend: 1,
    migrate: 1,
  }
}

/** The database's `max_connections`. */
export function connectionsOf(settings: StageSettings): number {
  const invocations = invocationsOf(settings)
  const held = FUNCTION_NAMES.map(name => invocations[name] * CONNECTIONS[name])
  return VERSIONS * held.reduce((sum, each) => sum + each, 0) + OTHERS
}
