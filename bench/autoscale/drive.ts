/** Each policy at the pool: what it sees, how late, and how often it decides. */
import { decide } from '#core/capacity/policy.ts'
import type { ClassNow, Need, WaitingRun } from '#core/capacity/snapshot.ts'
import { HPA_SYNC_S, Keda, type KedaSettings } from './keda.ts'
import { KNATIVE_TICK_S, Knative, type KnativeSettings } from './knative.ts'
import { ARRIVED_S, type JobState, type Pool } from './pool.ts'
import { type Random, randomOf } from './random.ts'
import { WORLD } from './world.ts'

export type Driver = (pool: Pool, isDone: () => boolean) => void
/** How old what SQS says of its length may be: it calls its counts approximate, and names no bound. */
const COUNT_AGE_S_MAX = 15

export function kedaDriver(settings: KedaSettings): Driver {
  return (pool, isDone) => {
    const keda = new Keda(settings)
    const random = randomOf(pool.trace.seed + 7)
    const length = approximateLength(pool, random)
    let current = 0
    const want = (replicas: number) => {
      current = replicas
      pool.want({ spot: replicas, on_demand: 0 })
    }
    every(pool, settings.pollingIntervalS, isDone, () =>
      want(keda.poll(pool.events.nowS, current, length())),
    )
    every(pool, HPA_SYNC_S, isDone, () => {
      if (current > 0) want(keda.sync(pool.events.nowS, current, length()))
    })
  }
}

/** The number of steps in the queue and under way, as it was some seconds ago. */
function approximateLength(pool: Pool, random: Random): () => number {
  const history: { atS: number; open: number }[] = []
  const note = () => {
    history.push({ atS: pool.events.nowS, open: pool.open })
    if (history.length > 40) history.shift()
    pool.events.in(1, note)
  }
  note()
  return () => {
    const atS = pool.events.nowS - random.next() * COUNT_AGE_S_MAX
    return history.findLast(entry => entry.atS <= atS)?.open ?? 0
  }
}

export function knativeDriver(settings: KnativeSettings): Driver {
  return (pool, isDone) => {
    const knative = new Knative(settings)
    const ticks: number[] = []
    const panicS = Math.max(KNATIVE_TICK_S, settings.stableWindowS * settings.panicWindowPart)
    every(pool, KNATIVE_TICK_S, isDone, () => {
      ticks.push(pool.openIntegral())
      const average = (windowS: number) => {
        const back = Math.min(ticks.length - 1, Math.round(windowS / KNATIVE_TICK_S))
        if (back === 0) return pool.open
        return (ticks.at(-1)! - ticks.at(-1 - back)!) / (back * KNATIVE_TICK_S)
      }
      const ready = [...pool.machines].filter(m => m.readyS !== null && !m.draining).length
      const { nowS } = pool.events
      const pods = knative.tick(nowS, ready, average(settings.stableWindowS), average(panicS))
      pool.want({ spot: pods, on_demand: 0 })
      if (ticks.length > 1_000) ticks.splice(0, 500)
    })
  }
}

export type GalleySettings = { everyS: number; waitUsdPerHour: number }
export const GALLEY: GalleySettings = { everyS: 5, waitUsdPerHour: WORLD.waitUsdPerHour }
const BUCKETS = 360
/** How far back needs are read. */
const NEEDED_S = 2 * 3600

/** Ours reads rows, which are true when they are read; service times are predicted with an error. */
export function galleyDriver(settings: GalleySettings): Driver {
  return (pool, isDone) => {
    let past: { fromS: number; toS: number; runners: number; started: number }[] = []
    every(pool, settings.everyS, isDone, () => {
      const { nowS } = pool.events
      past = past.filter(({ toS }) => nowS - toS < NEEDED_S)
      const needed = past.map(({ fromS, toS, runners, started }) => ({
        sinceS: nowS - fromS,
        untilS: nowS - toS,
        runners,
        started,
      }))
      const { desired, drain, need } = decide(momentOf(pool, settings, needed))
      const last = past[0]
      if (last) last.toS = nowS
      if (last?.runners !== need.runners || last.started !== need.started) {
        past.unshift({ fromS: nowS, toS: nowS, ...need })
      }
      pool.want(
        desired,
        drain.map(({ runner }) => runner),
      )
    })
  }
}

function momentOf(pool: Pool, { waitUsdPerHour }: GalleySettings, needed: Need[]): ClassNow {
  const { nowS } = pool.events
  const { usdPerHour, interruptionsPerHour, ceiling, billedLeastS, missedUsd } = WORLD
  const machines = [...pool.machines]
  const { s, squares } = pool.done
  return {
    hardware: 'cpu',
    waiting: waitingOf(pool),
    leases: machines.flatMap(({ name, step, stepBeganS }) =>
      step
        ? [
            {
              runner: name,
              tenantId: step.job.job.tenantId,
              remainingS: Math.max(0, step.predictedS - (nowS - stepBeganS)),
            },
          ]
        : [],
    ),
    runners: machines.map(machine => ({
      name: machine.name,
      market: machine.market,
      state: machine.draining ? 'draining' : machine.readyS === null ? 'starting' : 'warm',
      ageS: nowS - machine.askedS,
      idleS: machine.step || machine.readyS === null ? 0 : nowS - machine.idleSinceS,
      onlineShare: 0,
      warmModels: 0,
    })),
    // Until one was seen, a guess.
    coldStartsS: pool.coldStartsS.length > 0 ? pool.coldStartsS.slice(-50) : [90],
    residualStepS: s > 0 ? squares / (2 * s) : 10,
    markets: {
      spot: { usdPerHour: usdPerHour.spot, interruptionsPerHour, billedLeastS },
      on_demand: { usdPerHour: usdPerHour.on_demand, interruptionsPerHour: 0, billedLeastS },
    },
    needed,
    arrivals: arrivalsOf(pool),
    unmetS: null,
    bounds: {
      floor: 0,
      ceiling,
      waitUsdPerHour,
      missedUsd,
      tenantRunnersMax: ceiling,
      tenants: {},
    },
  }
}

function waitingOf(pool: Pool): WaitingRun[] {
  const byJob = new Map<JobState, WaitingRun>()
  for (const { job, predictedS } of pool.queue) {
    const run = byJob.get(job)
    if (run) {
      run.workS += predictedS
      run.steps++
      run.longestS = Math.max(run.longestS, predictedS)
    } else {
      const { tenantId, dueS } = job.job
      byJob.set(job, {
        tenantId,
        workS: predictedS,
        steps: 1,
        longestS: predictedS,
        weight: 1,
        dueInS: dueS === null ? null : dueS - pool.events.nowS,
      })
    }
  }
  return [...byJob.values()]
}

/** By bucket of the trace's time; the newest, which is not over, first. */
function arrivalsOf(pool: Pool): ClassNow['arrivals'] {
  const { runs, workS } = pool.arrived
  const newest = Math.floor(pool.events.nowS / ARRIVED_S)
  const from = Math.max(0, newest - BUCKETS + 1)
  const last = (values: number[]) =>
    Array.from({ length: newest - from + 1 }, (_, i) => values[newest - i] ?? 0)
  return { bucketS: ARRIVED_S, runs: last(runs), workS: last(workS) }
}

function every(pool: Pool, s: number, isDone: () => boolean, decide: () => void): void {
  const next = () => {
    if (isDone()) return
    decide()
    pool.events.in(s, next)
  }
  pool.events.in(s, next)
}
