/**
 * The runners of this machine, as many as capacity says: started and stopped as a cloud's service would be. It
 * says which there are and for how long a start took; how many are wanted is decided from rows, elsewhere.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Fleet, RunnerPool } from '#core/capacity/capacity.ts'
import { WAIT_USD_PER_HOUR } from '#core/capacity/policy.ts'
import type { Clock, Log } from '#core/deps.ts'
import { inFull } from '#core/error.ts'
import { USUAL_CLASS } from '#schemas/cloud/pools.ts'
import type { Running } from '../supervisor.ts'

export type PoolDeps = {
  clock: Clock
  log: Log
  start(name: string, signal: AbortSignal): Promise<Running>
}
export type PoolSettings = {
  /** Whose work its runners do; the first one is what decisions are kept by. Those of the usual class, if not given. */
  classes?: [string, ...string[]]
  least: number
  most: number
  /** Those that have left something to be shipped: each is started once, one after another over the most. */
  first: string[]
}
export type Pool = RunnerPool & {
  pids(): Record<string, number>
  /** Drains them all. A second call with less grace hurries the first one. */
  stop(graceMs?: number): Promise<void>
}

type Member = {
  askedAt: number
  running: Running | null
  isDraining: boolean
  ended: Promise<void>
}

/** As a cloud would bill: weighed against waiting, though this machine costs the same any way. */
const PRICE = { usdPerHour: 0.07, interruptionsPerHour: 0, billedLeastS: 0 }
const MISSED_USD = 0.5
/** What a start is taken to need until one was seen. */
const COLD_S = 2
const COLD_STARTS_MAX = 50
const GRACE_MS = 10_000
const AGAIN_MS = 1_000

export function openPool(deps: PoolDeps, settings: PoolSettings): Pool {
  const { clock, log } = deps
  const members = new Map<string, Member>()
  const coldStartsS: number[] = []
  const stopping = new AbortController()
  /** Those of the first that have not had a place yet. */
  const left = [...settings.first]

  function start(name: string): void {
    const member: Member = {
      askedAt: clock.now(),
      running: null,
      isDraining: false,
      ended: Promise.resolve(),
    }
    members.set(name, member)
    member.ended = live(name, member).finally(() => {
      members.delete(name)
      startLeft()
    })
    void member.ended.then(() => again(name, member))
  }

  function startLeft(): void {
    if (stopping.signal.aborted) return
    while (left.length > 0 && members.size < settings.most) start(left.shift()!)
  }

  /** One that died has left receipts, which the next one with its name ships. */
  async function again(name: string, { isDraining }: Member): Promise<void> {
    if (isDraining) return
    await pause(AGAIN_MS, undefined, { signal: stopping.signal }).catch(() => {})
    if (stopping.signal.aborted || members.has(name)) return
    // Meanwhile somebody else may have its place.
    if (members.size < settings.most) start(name)
    else left.push(name)
  }

  /** From the start of a runner to its end. */
  async function live(name: string, member: Member): Promise<void> {
    try {
      const running = await deps.start(name, stopping.signal)
      member.running = running
      coldStartsS.unshift((clock.now() - member.askedAt) / 1000)
      coldStartsS.splice(COLD_STARTS_MAX)
      log.info('runner ready', { name, pid: running.pid, ms: clock.now() - member.askedAt })
      // It ships as it goes, and one of those that are left has its place.
      const going = [...members.values()].filter(({ isDraining }) => isDraining).length
      if (left.length > going) member.isDraining = true
      if (member.isDraining || stopping.signal.aborted) await running.stop(GRACE_MS)
      const exit = await running.exited
      log.info('runner ended', { name, pid: running.pid, exit, asked: member.isDraining })
    } catch (error) {
      if (!stopping.signal.aborted) log.error('runner failed', { name, error: inFull(error) })
    }
  }

  function drain(name: string): void {
    const member = members.get(name)
    if (!member || member.isDraining) return
    member.isDraining = true
    void member.running?.stop(GRACE_MS)
  }

  function fleetNow(): Fleet {
    const { least, most, classes = [USUAL_CLASS] } = settings
    const now = clock.now()
    return {
      hardware: classes[0],
      classes,
      runners: [...members].map(([name, { askedAt, running, isDraining }]) => ({
        name,
        market: 'on_demand' as const,
        state: isDraining
          ? ('draining' as const)
          : running
            ? ('warm' as const)
            : ('starting' as const),
        ageS: (now - askedAt) / 1000,
      })),
      coldStartsS: coldStartsS.length > 0 ? [...coldStartsS] : [COLD_S],
      markets: { spot: null, on_demand: PRICE },
      bounds: {
        floor: least,
        ceiling: most,
        waitUsdPerHour: WAIT_USD_PER_HOUR,
        missedUsd: MISSED_USD,
        tenantRunnersMax: most,
        tenants: {},
      },
    }
  }

  const apply: RunnerPool['apply'] = async ({ desired, drain: toDrain }) => {
    if (stopping.signal.aborted) return
    for (const { runner } of toDrain) drain(runner)
    const present = [...members.values()].filter(member => !member.isDraining).length
    const names = freeNames(members, settings.most)
    for (let i = present; i < desired.spot + desired.on_demand; i++) {
      if (members.size >= settings.most) return
      // One that drains has its name until it is gone.
      const name = names.shift()
      if (name !== undefined) start(name)
    }
  }

  startLeft()
  return {
    fleet: async () => fleetNow(),
    apply,
    pids: () =>
      Object.fromEntries(
        [...members].flatMap(([name, { running }]) => (running ? [[name, running.pid]] : [])),
      ),
    async stop(graceMs = GRACE_MS) {
      stopping.abort()
      const all = [...members.values()]
      await Promise.all(all.map(async ({ running }) => running?.stop(graceMs)))
      await Promise.all(all.map(({ ended }) => ended))
    },
  }
}

/** The lowest first, so that what one has left on the disk is soon somebody's again. */
function freeNames(taken: ReadonlyMap<string, unknown>, most: number): string[] {
  return Array.from({ length: most }, (_, i) => `runner-${i}`).filter(name => !taken.has(name))
}
