/** What a moment says of work and of runners, in the terms in which it is weighed. */
import type { ClassNow, RunnerNow, WaitingRun } from './snapshot.ts'
import { leftOf, quantile } from './spread.ts'
import type { Source } from './supply.ts'
import type { Demand, Due } from './worth.ts'

/** What has a time is planned with a cold start that so large a part of them does not pass. */
export const IN_TIME = 0.9
/** Part of its time beyond which a runner is taken to have more to do than it can: how much cannot be seen. */
const SATURATED = 0.9
/** Later than it was told to. */
const COMES_AGAIN_S = 5

/** When each of the runners is free for steps, and how much of it. */
export function sourcesOf(now: ClassNow, alive: readonly RunnerNow[]): Source[] {
  const freeInS = new Map<string, number>()
  for (const { runner, remainingS } of now.leases) {
    freeInS.set(runner, Math.max(remainingS, freeInS.get(runner) ?? 0))
  }
  return alive
    .map(({ name, state, ageS, onlineShare }) => ({
      fromS: state === 'starting' ? leftOf(now.coldStartsS, ageS) : (freeInS.get(name) ?? 0),
      speed: 1 - onlineShare,
    }))
    .filter(({ speed }) => speed > 0)
    .toSorted((a, b) => a.fromS - b.fromS)
}

/** The runs that wait, each behind those before it. */
export function queuedDemand({ waiting }: ClassNow, waitUsdPerS: number): Demand[] {
  return behind(waiting, (upToS, { weight }) => ({
    upToS,
    usdPerS: waitUsdPerS * weight,
    arrivesInS: 0,
  }))
}

/** Those of them that have a time by which they must be done. */
export function dueOf({ waiting }: ClassNow): (Due & { steps: number })[] {
  return behind(waiting, (upToS, { dueInS, longestS, steps }) => ({
    upToS,
    dueInS: dueInS ?? Infinity,
    longestS,
    steps,
  })).filter(({ dueInS }) => dueInS < Infinity)
}

function behind<T>(waiting: readonly WaitingRun[], as: (upToS: number, run: WaitingRun) => T): T[] {
  let upToS = 0
  return waiting.map(run => {
    upToS += run.workS
    return as(upToS, run)
  })
}

/**
 * Runners that could work at the same time: a step occupies one, whether it waits or is under way, and a
 * tenant no more than it may call for.
 */
export function shareable({ waiting, leases, bounds }: ClassNow): number {
  const steps = new Map<string, number>()
  const count = (tenantId: string, more: number) =>
    steps.set(tenantId, (steps.get(tenantId) ?? 0) + more)
  for (const run of waiting) count(run.tenantId, run.weight > 0 ? run.steps : 0)
  for (const { tenantId } of leases) count(tenantId, 1)
  return [...steps].reduce(
    (sum, [tenantId, open]) =>
      sum + Math.min(open, bounds.tenants[tenantId] ?? bounds.tenantRunnersMax),
    0,
  )
}

/** Runners for requests that want an answer now. */
export function onlineNeed(now: ClassNow, alive: readonly RunnerNow[], waitByPrice: number) {
  const load = alive.reduce((sum, { onlineShare }) => sum + onlineShare, 0)
  const least = load > 0 || isCalled(now) ? 1 : 0
  return Math.max(least, staffing(load, waitByPrice), Math.ceil(load / SATURATED))
}

/**
 * Whether a request has found no runner so lately that who sent it still waits, or comes again when it was told
 * to. Until then one is needed, were it only to be there: the past may say that nobody comes for an hour.
 */
export function isCalled({ unmetS, coldStartsS }: ClassNow): boolean {
  return unmetS !== null && unmetS <= quantile(coldStartsS, IN_TIME) + COMES_AGAIN_S
}

/**
 * Runners for a steady load, in runners: as many, and a margin of its square root, larger the more waiting
 * costs by a runner (Borst, Mandelbaum, Reiman, 2004, with their approximation of the best β).
 */
export function staffing(load: number, waitByPrice: number): number {
  const r = waitByPrice
  const beta =
    r < 10
      ? Math.sqrt(r / (1 + r * (Math.sqrt(Math.PI / 2) - 1)))
      : Math.sqrt(2 * Math.log(r / Math.sqrt(2 * Math.PI)))
  return Math.floor(load + beta * Math.sqrt(load))
}
