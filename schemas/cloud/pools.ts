/**
 * Pools of runners of a cloud, by class of hardware: what a second of a machine costs, as the price of waiting is
 * weighed against. List prices of us-east-1 as in docs/costs.md; spot prices and interruptions are assumed.
 */
export const POOL_PRICES = {
  cpu: { spotUsdPerHour: 0.07, onDemandUsdPerHour: 0.1785, interruptionsPerHour: 0.05 },
  gpu: { spotUsdPerHour: 0.4, onDemandUsdPerHour: 1.006, interruptionsPerHour: 0.05 },
} as const satisfies Record<string, PoolPrices>
export type PoolName = keyof typeof POOL_PRICES

/** Whose runners do what asks for no class. */
export const USUAL_CLASS = 'cpu' satisfies PoolName

type PoolPrices = {
  spotUsdPerHour: number
  onDemandUsdPerHour: number
  /** Expected losses of a spot machine in an hour. */
  interruptionsPerHour: number
}

/** What the function that sizes a pool is told of it, as JSON in `GALLEY_RUNNER_POOLS` by the pool's name. */
export type PoolPlace = {
  /** Of ECS, in the cluster of the runners. */
  service: string
  /** Runners on on-demand capacity, which are there in any case: the `base` of the service's strategy. */
  floor: number
  ceiling: number
}
