/** A deployment: its parts in the order in which they need each other. */
import { alarms } from './alarms.ts'
import { buckets } from './buckets.ts'
import { database } from './database.ts'
import { functions } from './functions.ts'
import { network } from './network.ts'
import { queues } from './queues.ts'
import { secrets } from './secrets.ts'
import type { Deployment } from './settings.ts'

export function deploy(deployment: Deployment): void {
  const parts = { network: network(deployment), secrets: secrets(deployment) }
  const stored = {
    database: database(deployment, parts),
    queues: queues(deployment, parts.secrets),
    buckets: buckets(deployment, parts.secrets),
  }
  const made = functions(deployment, { ...parts, ...stored })
  alarms(deployment, { ...parts, ...stored, functions: made })
}
