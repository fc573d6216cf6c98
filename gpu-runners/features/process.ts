/** Work with DuckDB in a process of its own, in a folder that is gone afterwards. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AppError } from '#core/error.ts'
import type { Failed, Limits, Progress, Reply, Work } from './messages.ts'

/** What DuckDB may hold; the process around it takes some 300 MB more. */
const LIMITS: Limits = { memoryMb: 1_024, threads: Math.min(4, availableParallelism()) }

export type Options = { limits?: Partial<Limits>; onProgress?: (progress: Progress) => void }
type Done<W extends Work> = Exclude<Reply<W>, Failed | { progress: Progress }>

/**
 * `files`: what the work's relations name, by name. `use` gets what came of it and the folder while that
 * exists. Throws `invalid_body` for files that cannot be read.
 */
export async function inProcess<W extends Work, T>(
  scratch: string,
  { work, files }: { work: W; files: Record<string, string> },
  signal: AbortSignal,
  use: (done: Done<W>, folder: string) => Promise<T>,
  more: Options = {},
): Promise<T> {
  const folder = await mkdtemp(join(scratch, 'features-'))
  try {
    for (const [name, path] of Object.entries(files)) await symlink(path, join(folder, name))
    const request = { folder, limits: { ...LIMITS, ...more.limits }, ...work }
    const reply = await ask<W>(request, signal, more.onProgress ?? (() => {}))
    if ('failed' in reply) throw faultOf(reply)
    return await use(reply as Done<W>, folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function ask<W extends Work>(
  request: object,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<Done<W> | Failed> {
  signal.throwIfAborted()
  const child = fork(fileURLToPath(new URL('./child.ts', import.meta.url)), {
    env: {},
    execArgv: ['--no-warnings'],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  const ended = once(child, 'exit')
  const onAbort = () => void child.kill('SIGKILL')
  signal.addEventListener('abort', onAbort)
  try {
    return await answer<W>(child, request, onProgress)
  } catch (cause) {
    signal.throwIfAborted()
    throw cause
  } finally {
    signal.removeEventListener('abort', onAbort)
    child.kill('SIGKILL')
    // Its files are removed next.
    await ended
  }
}

function answer<W extends Work>(
  child: ChildProcess,
  request: object,
  onProgress: (progress: Progress) => void,
): Promise<Done<W> | Failed> {
  const { promise, resolve, reject } = Promise.withResolvers<Done<W> | Failed>()
  const onEnd = (why: unknown) => {
    const internal = `the process of the work ended: ${why}`
    reject(new AppError('unavailable', { internal, retryable: true }))
  }
  child.on('message', (reply: Reply<W>) => {
    if ('progress' in reply) onProgress(reply.progress)
    else resolve(reply as Done<W> | Failed)
  })
  child.on('error', onEnd)
  child.on('exit', (code, end) => onEnd(end ?? `code ${code}`))
  child.send(request)
  return promise
}

function faultOf({ failed, text }: Failed): AppError {
  switch (failed) {
    case 'data':
      return new AppError('invalid_body', { public: text.slice(0, 500) })
    case 'disk':
      return new AppError('insufficient_storage', { internal: text, retryable: true })
    case 'memory':
    case 'fault':
      return new AppError('internal', { internal: text })
  }
}
