/**
 * Owns the processes of one machine: starts them in the order of what they need, starts again what
 * dies, and stops them last to first, so that the database outlives everything that writes to it.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Clock, Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'

export type Exit = { code: number | null; signal: NodeJS.Signals | null }
export type Running = {
  pid: number
  exited: Promise<Exit>
  /** Drains for at most so long, then kills. Resolves when it is gone. */
  stop(graceMs?: number): Promise<void>
}
export type ChildSpec = {
  name: string
  /** Those that must be up before this one starts. */
  after?: string[]
  /** Resolves when it is up; rejects when it ended before or was given up, and then nothing is left. */
  start(signal: AbortSignal): Promise<Running>
}
/** Something that is done once on the way up, such as a migration. */
export type StepSpec = { name: string; after?: string[]; run(): Promise<void> }

export type SupervisorEvent =
  | { type: 'ready'; name: string; pid?: number; ms: number }
  | { type: 'exited'; name: string; pid: number; exit: Exit }
  | { type: 'failed'; name: string; error: unknown }
  | { type: 'stopped'; name: string }

export type SupervisorDeps = {
  clock: Clock
  log: Log
  onEvent?: (event: SupervisorEvent) => void
}
export type Supervision = {
  /** Resolves when all are up for the first time; rejects when one cannot be brought up. */
  up: Promise<void>
  /** The processes that run now, by name. */
  pids(): Record<string, number>
  /** Stops last to first. A second call with less grace hurries the first one. */
  stop(graceMs?: number): Promise<void>
}

/** The first restart is at once: most deaths are single. Then the pause doubles up to the longest. */
const BACKOFF_MS_MIN = 50
const BACKOFF_MS_MAX = 5000
/** After so long it counts as healthy, and its next death as its first. */
const HEALTHY_MS = 10_000
/** On the way up, a child that died so often will not come up by itself. */
const FIRST_STARTS_MAX = 3

/** Brings up the children and keeps them up until `stop`. List them from the innermost to the edge. */
export function supervise(children: (ChildSpec | StepSpec)[], deps: SupervisorDeps): Supervision {
  const keepers = new Map<string, Keeper>()
  for (const spec of children) {
    const needs = (spec.after ?? []).map(name => keeperOf(keepers, name, spec.name))
    keepers.set(spec.name, keep(spec, needs, deps))
  }
  const all = [...keepers.values()]
  const up = Promise.all(all.map(keeper => keeper.up)).then(() => {})
  up.catch(() => {})
  const running = () => all.flatMap(({ name, pid }) => (pid() ? [[name, pid()!] as const] : []))
  return {
    up,
    pids: () => Object.fromEntries(running()),
    async stop(graceMs = 10_000) {
      for (const keeper of all) keeper.retire()
      for (const keeper of all.toReversed()) await keeper.end(graceMs)
    },
  }
}

type Keeper = {
  name: string
  up: Promise<void>
  pid(): number | undefined
  /** From now on it is not started again; what is on its way up is given up. */
  retire(): void
  end(graceMs: number): Promise<void>
}

function keeperOf(keepers: Map<string, Keeper>, name: string, by: string): Keeper {
  const keeper = keepers.get(name)
  if (!keeper) throw new AppError('internal', { internal: `${by} needs ${name}, listed after it` })
  return keeper
}

function keep(spec: ChildSpec | StepSpec, needs: Keeper[], deps: SupervisorDeps): Keeper {
  const { name } = spec
  const retired = new AbortController()
  const { promise: up, resolve: isUp, reject: isNotUp } = Promise.withResolvers<void>()
  up.catch(() => {})
  let running: Running | undefined
  const tell = (event: SupervisorEvent) => {
    const { type, ...fields } = event
    const error = event.type === 'failed' && { error: textOf(event.error) }
    deps.log.info(`child ${type}`, { ...fields, ...error })
    deps.onEvent?.(event)
  }

  async function live(): Promise<void> {
    await Promise.all(needs.map(keeper => keeper.up))
    if ('run' in spec) return step(spec)
    for (let deaths = 0; !retired.signal.aborted; deaths++) {
      const startedAt = deps.clock.now()
      await liveOnce(spec, startedAt).catch(error => {
        if (retired.signal.aborted) return
        tell({ type: 'failed', name, error })
        if (!mayRecover(error) || deaths + 1 >= FIRST_STARTS_MAX) isNotUp(named(name, error))
      })
      running = undefined
      if (deps.clock.now() - startedAt > HEALTHY_MS) deaths = 0
      await pause(backoffMs(deaths), undefined, { signal: retired.signal }).catch(() => {})
    }
  }

  async function liveOnce(spec: ChildSpec, startedAt: number): Promise<void> {
    running = await spec.start(retired.signal)
    if (retired.signal.aborted) return running.stop(0)
    const { pid, exited } = running
    tell({ type: 'ready', name, pid, ms: deps.clock.now() - startedAt })
    isUp()
    const exit = await exited
    if (!retired.signal.aborted) tell({ type: 'exited', name, pid, exit })
  }

  async function step(spec: StepSpec): Promise<void> {
    if (retired.signal.aborted) return
    const startedAt = deps.clock.now()
    await spec.run()
    tell({ type: 'ready', name, ms: deps.clock.now() - startedAt })
    isUp()
  }

  const life = live()
    .catch(error => isNotUp(named(name, error)))
    // Whoever still waits for it now waits in vain.
    .then(() => isNotUp(new AppError('canceled', { public: `${name} was stopped.` })))
  return {
    name,
    up,
    pid: () => running?.pid,
    retire: () => retired.abort(),
    async end(graceMs) {
      await running?.stop(graceMs)
      await ('run' in spec ? Promise.race([life, pause(graceMs)]) : life)
      tell({ type: 'stopped', name })
    },
  }
}

function backoffMs(deaths: number): number {
  return deaths === 0 ? 0 : Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** (deaths - 1))
}

function mayRecover(error: unknown): boolean {
  return !(error instanceof AppError) || error.retryable
}

function named(name: string, error: unknown): AppError {
  if (error instanceof AppError && (!error.retryable || error.code === 'canceled')) return error
  const reason =
    error instanceof AppError
      ? error.public
      : error instanceof Error
        ? error.message
        : String(error)
  return new AppError('unavailable', { public: `${name} ${reason}`, cause: error })
}

function textOf(error: unknown): string {
  if (error instanceof AppError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
