/** The pools of runners of the cloud: services of ECS, each with what its machines cost. */
import type { RunnerPool } from '#core/capacity/capacity.ts'
import { WAIT_USD_PER_HOUR } from '#core/capacity/policy.ts'
import { ecsRunners } from '#platform/capacity/ecs.ts'
import { ecsClient } from '#platform/capacity/ecs-client.ts'
import { POOL_PRICES, type PoolName, type PoolPlace } from '#schemas/cloud/pools.ts'
import type { Base } from './base.ts'
import { readPlaces } from './env.ts'

/** As AWS bills machines. That ECS keeps an empty one for longer is paid whenever its runner goes. */
const BILLED_LEAST_S = 60

export function openPools({ db, clock }: Base): Map<string, RunnerPool> {
  const places = readPlaces(['GALLEY_RUNNER_CLUSTER', 'GALLEY_RUNNER_POOLS'])
  const client = ecsClient()
  const named = Object.entries(places.GALLEY_RUNNER_POOLS) as [PoolName, PoolPlace][]
  const pools = named.map(([hardware, { service, floor, ceiling }]) => {
    const bounds = {
      floor,
      ceiling,
      waitUsdPerHour: WAIT_USD_PER_HOUR,
      // The service's strategy says what is on-demand: no run can be moved there because it must not be late.
      missedUsd: 0,
      tenantRunnersMax: ceiling,
      tenants: {},
    }
    const cluster = places.GALLEY_RUNNER_CLUSTER
    const of = { cluster, service, hardware, markets: marketsOf(hardware), bounds }
    return [hardware, ecsRunners({ client, db, clock }, of)] as const
  })
  return new Map(pools)
}

function marketsOf(pool: PoolName) {
  const { spotUsdPerHour, onDemandUsdPerHour, interruptionsPerHour } = POOL_PRICES[pool]
  const billedLeastS = BILLED_LEAST_S
  return {
    spot: { usdPerHour: spotUsdPerHour, interruptionsPerHour, billedLeastS },
    on_demand: { usdPerHour: onDemandUsdPerHour, interruptionsPerHour: 0, billedLeastS },
  }
}
