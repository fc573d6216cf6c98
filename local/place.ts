/** A place as a child process: started in a group of its own, heard when it is up, stopped in time. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { AppError } from '#core/error.ts'
import type { LogFile } from './logfile.ts'
import type { Exit, Running } from './supervisor.ts'

export type PlaceOptions = {
  /** Absolute path of its entry file. */
  entry: string
  /** Of Node, besides those of this process. */
  flags?: readonly string[]
  args?: string[]
  cwd: string
  env: Record<string, string>
  output: LogFile
  /** A place that is silent for so long did not start. */
  readyMsMax?: number
}

const READY_MS_MAX = 60_000
const KILL_MS = 5000

/** Starts a place under this very Node and its flags. Resolves when it says that it is up. */
export async function startPlace(options: PlaceOptions, signal: AbortSignal): Promise<Running> {
  signal.throwIfAborted()
  const args = [
    ...process.execArgv,
    ...(options.flags ?? []),
    options.entry,
    ...(options.args ?? []),
  ]
  const { fd } = options.output
  const stdio = ['pipe', fd, fd, 'pipe'] as const
  const { cwd, env } = options
  const child = spawn(process.execPath, args, { cwd, env, detached: true, stdio: [...stdio] })
  child.stdin?.on('error', () => {})
  const exited = once(child, 'exit').then(([code, signal]): Exit => {
    // What it started ends with it, even if it had no time to see to that.
    signalGroup(child, 'SIGKILL')
    return { code, signal }
  })
  exited.catch(() => {})
  const stop = (graceMs = 10_000) => stopPlace(child, exited, graceMs)
  try {
    await isReady(child, exited, signal, options.readyMsMax ?? READY_MS_MAX)
  } catch (error) {
    await stop(0)
    throw withLastLines(error, options.output)
  }
  return { pid: child.pid!, exited, stop }
}

/** Resolves on the line of `reportReady`; rejects when it ends, is given up or takes too long. */
async function isReady(
  child: ChildProcess,
  exited: Promise<Exit>,
  signal: AbortSignal,
  readyMsMax: number,
): Promise<void> {
  const timer = new AbortController()
  const given = AbortSignal.any([signal, timer.signal])
  const tooLate = pause(readyMsMax, undefined, { signal: given }).then(() => {
    throw new Error(`did not say that it is up within ${readyMsMax / 1000} s`)
  })
  const ended = exited.then(({ code, signal }) => {
    throw new Error(`ended with ${signal ?? `exit code ${code}`} before it was up`)
  })
  try {
    await Promise.race([readyLine(child.stdio[3] as Readable), ended, tooLate])
  } finally {
    for (const loser of [ended, tooLate]) loser.catch(() => {})
    timer.abort()
  }
}

async function readyLine(from: Readable): Promise<void> {
  from.on('error', () => {})
  const lines = createInterface({ input: from })
  await new Promise<void>(resolve => {
    lines.on('line', line => line.includes('"ready":true') && resolve())
  })
}

async function stopPlace(child: ChildProcess, exited: Promise<Exit>, graceMs: number) {
  if (child.pid === undefined) return
  if (graceMs > 0) {
    child.kill('SIGTERM')
    if (await within(exited, graceMs)) return
  }
  signalGroup(child, 'SIGKILL')
  await within(exited, KILL_MS)
}

async function within(exited: Promise<Exit>, ms: number): Promise<boolean> {
  const timer = new AbortController()
  const late = pause(ms, false, { signal: timer.signal }).catch(() => false)
  const ended = await Promise.race([exited.then(() => true), late])
  timer.abort()
  return ended
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(-child.pid!, signal)
  } catch {
    // Nobody is left in the group.
  }
}

function withLastLines(error: unknown, output: LogFile): AppError {
  const reason = error instanceof Error ? error.message : String(error)
  const lines = output.tail(12)
  const said = lines.length > 0 ? ` Its last lines:\n${lines.map(l => `  ${l}`).join('\n')}` : ''
  return new AppError('unavailable', {
    public: `${reason} (${output.path}).${said}`,
    retryable: true,
    cause: error,
  })
}
