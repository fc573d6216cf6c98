/** What each policy may be tuned over. The defaults of each are in its grid. */
import { type Driver, GALLEY, galleyDriver, kedaDriver, knativeDriver } from './drive.ts'
import { KEDA_DEFAULTS } from './keda.ts'
import { KNATIVE_DEFAULTS } from './knative.ts'

export type Option = { settings: Record<string, number>; drive: Driver }
export const POLICIES = ['galley', 'keda', 'knative'] as const
export type Policy = (typeof POLICIES)[number]

export const GRIDS: Record<Policy, Option[]> = {
  galley: product({ waitUsdPerHour: [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2] }).map(
    settings => ({
      settings,
      drive: galleyDriver({ ...GALLEY, ...settings }),
    }),
  ),
  keda: product({
    queueLength: [1, 2, 5, 10],
    pollingIntervalS: [5, 30],
    cooldownPeriodS: [60, 300],
    scaleDownStabilizationS: [0, 60, 300],
  }).map(settings => ({ settings, drive: kedaDriver({ ...KEDA_DEFAULTS, ...settings }) })),
  knative: product({
    // One step at a time is what a runner does; a target over that means a queue for each.
    containerConcurrency: [1, 2, 5, 10],
    stableWindowS: [30, 60, 120],
    scaleDownDelayS: [0, 60, 300],
  }).map(settings => ({ settings, drive: knativeDriver({ ...KNATIVE_DEFAULTS, ...settings }) })),
}

function product<K extends string>(values: Record<K, number[]>): Record<K, number>[] {
  return (Object.entries(values) as [K, number[]][]).reduce<Record<K, number>[]>(
    (rows, [name, each]) =>
      rows.flatMap(row => each.map(value => ({ ...row, [name]: value }) as Record<K, number>)),
    [{} as Record<K, number>],
  )
}
