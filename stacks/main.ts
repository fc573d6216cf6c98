/** A deployment: its parts in the order in which they need each other. */

import { buckets } from './buckets.ts'
import { router } from './containers/router.ts'
import { runners } from './containers/runners.ts'
import { database } from './database.ts'
import { edge } from './edge.ts'
import { functions } from './functions.ts'
import { apiGateway } from './gateway.ts'
import { network } from './network.ts'
import { queues } from './queues.ts'
import { schedules } from './schedules.ts'
import { secrets } from './secrets.ts'
import type { Deployment } from './settings.ts'
import { alarms } from './watching/alarms.ts'
import { dashboard } from './watching/dashboard.ts'
import { traffic } from './watching/traffic.ts'

export function deploy(deployment: Deployment): void {
  const parts = { network: network(deployment), secrets: secrets(deployment) }
  const stored = {
    database: database(deployment, parts),
    queues: queues(deployment, parts.secrets),
    buckets: buckets(deployment, parts.secrets),
  }
  const made = functions(deployment, { ...parts, ...stored })
  const api = apiGateway(deployment, made)
  schedules(deployment, made)
  const came = traffic(deployment, parts.network)
  const routing = router(deployment, { ...parts, traffic: came })
  const capacities = runners(deployment, { ...parts, ...stored, router: routing })
  edge(deployment)
  alarms(deployment, { ...parts, ...stored, functions: made, api, router: routing, capacities })
  dashboard(deployment, { ...stored, functions: made, router: routing })
}
