/**
 * One engine process, seen from the runner: frames out, frames back in the same order. It gets no
 * environment, no descriptor but its socket, and is the first that the kernel takes when memory ends.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { getCompileCacheDir } from 'node:module'
import type { Duplex, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { decodeFrame, encodeFrame, type Frame, frameBytes, HEAD_BYTES } from './frames.ts'

/** The process ended before the reply. `running`: this very frame was being worked on. */
export class ProcessEnded extends Error {
  readonly running: boolean
  constructor(reason: string, running: boolean) {
    super(reason)
    this.name = 'ProcessEnded'
    this.running = running
  }
}

export type EngineProcess = {
  readonly pid: number
  readonly alive: boolean
  /**
   * Resolves with the reply, `done` or `failed`; rejects with `ProcessEnded`. `worth`: of the time of a run, the
   * part that counts in `workedMs`.
   */
  request(frame: Omit<Frame, 'id'>, limitMs: number, worth?: number): Promise<Frame>
  /** How long it has worked on runs since it started, up to now. */
  workedMs(): number
  /** Ends when all replies have come; resolves when the process is gone. */
  close(): Promise<void>
  readonly ended: Promise<string>
}

type Pending = {
  resolve(frame: Frame): void
  reject(error: ProcessEnded): void
  limitMs: number
  /** 0 of what is no run. */
  worth: number
}

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url))
const ENV = {
  ORT_DISABLE_TELEMETRY: '1',
  // One arena that gives pages back: without it, 60 reloads of a 200 MB model grow to 800 MB. What a run
  // needs for a moment is kept for the next one: mapped anew each time it takes as long as the run itself.
  // Only what is larger than activations are, most of it weights, is mapped by itself and leaves no holes.
  MALLOC_ARENA_MAX: '1',
  MALLOC_TRIM_THRESHOLD_: '67108864',
  MALLOC_MMAP_THRESHOLD_: '16777216',
}
const FLAGS = ['--max-semi-space-size=1', '--v8-pool-size=0', '--no-warnings', CHILD]
const STDERR_KEPT_CHARS = 2_000
/**
 * A native run cannot notice that the runner is gone, so a shell waits for that beside it: its `read`
 * on descriptor 4 ends without a line only when the runner dies. `exec` keeps the engine's pid.
 */
const GUARD = `echo 1000 2>/dev/null >/proc/self/oom_score_adj
ulimit -c 0
(exec 2>/dev/null 3<&-; read -r line <&4 || kill -KILL $$) &
exec "$@" 4<&-`

export function startProcess(): EngineProcess {
  const child = start()
  const socket = child.stdio[3] as Duplex
  const guard = child.stdio[4] as Writable
  const pending: Pending[] = []
  let nextId = 1
  let alive = child.pid !== undefined
  let timer: NodeJS.Timeout | undefined
  let overdue = ''
  let stderr = ''
  let workedMs = 0
  /** Since when it works on the first that is pending. */
  let headSinceMs = 0

  const ended = new Promise<string>(resolve => {
    child.once('exit', (code, signal) => end(signal ?? `code ${code}`))
    child.once('error', error => end(error.message))
    function end(how: string) {
      if (!alive && pending.length === 0) return resolve(how)
      alive = false
      clearTimeout(timer)
      // A line tells the guard that this end needs no kill: the pid may soon be another's.
      guard.end('\n')
      const reason = `engine process ${child.pid} ended (${overdue || how})${stderr && `: ${stderr}`}`
      pending.splice(0).forEach((p, i) => {
        p.reject(new ProcessEnded(reason, i === 0))
      })
      resolve(reason)
    }
  })
  child.stderr!.on('data', text => {
    stderr = (stderr + text).slice(-STDERR_KEPT_CHARS)
  })
  for (const stream of [socket, guard, child.stderr!]) stream.on('error', () => {})
  readFrames(socket, frame => {
    const done = pending.shift()!
    const now = performance.now()
    workedMs += done.worth * (frame.computeUs > 0 ? frame.computeUs / 1_000 : now - headSinceMs)
    headSinceMs = now
    watch()
    done.resolve(frame)
  })

  /** Replies come in order, so one timer for the oldest is enough. */
  function watch() {
    clearTimeout(timer)
    const head = pending[0]
    if (!head) return
    timer = setTimeout(() => {
      overdue = `killed after ${head.limitMs} ms in one run`
      child.kill('SIGKILL')
    }, head.limitMs)
  }

  return {
    pid: child.pid ?? 0,
    get alive() {
      return alive
    },
    ended,
    request(frame, limitMs, worth = 1) {
      if (!alive) return Promise.reject(new ProcessEnded('the engine process has ended', false))
      const { promise, resolve, reject } = Promise.withResolvers<Frame>()
      const chunks = encodeFrame({ ...frame, id: nextId++ })
      pending.push({ resolve, reject, limitMs, worth: frame.kind === 'run' ? worth : 0 })
      if (pending.length === 1) {
        headSinceMs = performance.now()
        watch()
      }
      if (chunks.length > 1) socket.cork()
      for (const chunk of chunks) if (chunk.length > 0) socket.write(chunk)
      if (chunks.length > 1) socket.uncork()
      return promise
    },
    workedMs: () => workedMs + (pending[0]?.worth ?? 0) * (performance.now() - headSinceMs),
    async close() {
      // The engine reads what is left in the socket before it sees the end.
      socket.end()
      await ended
    },
  }
}

function start(): ChildProcess {
  const cache = getCompileCacheDir()
  const env = cache ? { ...ENV, NODE_COMPILE_CACHE: cache } : ENV
  const stdio = ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] as const
  if (process.platform === 'win32') {
    return spawn(process.execPath, FLAGS, { env, stdio: [...stdio] })
  }
  const argv = ['-c', GUARD, 'engine', process.execPath, ...FLAGS]
  return spawn('/bin/sh', argv, { env, cwd: '/', stdio: [...stdio] })
}

/** Cuts the stream into frames; each gets a buffer of its own, so that its tensors may live on. */
function readFrames(socket: Duplex, onFrame: (frame: Frame) => void): void {
  let target = new Uint8Array(HEAD_BYTES)
  let filled = 0
  socket.on('data', (chunk: Buffer) => {
    let at = 0
    while (at < chunk.length) {
      if (filled === 0 && chunk.length - at >= 4) {
        const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length)
        target = new Uint8Array(frameBytes(view, at))
      }
      const part = Math.min(target.length - filled, chunk.length - at)
      target.set(chunk.subarray(at, at + part), filled)
      filled += part
      at += part
      if (filled < target.length) continue
      const size = frameBytes(new DataView(target.buffer), 0)
      if (size > target.length) {
        const whole = new Uint8Array(size)
        whole.set(target)
        target = whole
        continue
      }
      const frame = decodeFrame(target.buffer, 0)
      target = new Uint8Array(HEAD_BYTES)
      filled = 0
      onFrame(frame)
    }
  })
}
