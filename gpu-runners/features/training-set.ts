/** Training sets for the runner: made in a process of their own, in a folder that is gone afterwards. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AppError } from '#core/error.ts'
import {
  type Failed,
  type Limits,
  type Made,
  type Progress,
  RESULT,
  type Reply,
  type TrainingSet,
} from './messages.ts'

export type { TrainingSet }
export type Done = Made & { bytes: AsyncIterable<Uint8Array> }

/** What DuckDB may hold; the process around it takes some 300 MB more. */
const LIMITS: Limits = { memoryMb: 1_024, threads: Math.min(4, availableParallelism()) }

/**
 * Each row of the spine, in its order, with the values of the service at its time: Parquet, whose bytes
 * `use` gets while they exist. `files`: what the relations name, by name. A row that names no entity has
 * what an entity without events has. Throws `invalid_body` for a spine that cannot be read.
 */
export async function withTrainingSet<T>(
  scratch: string,
  set: TrainingSet & { files: Record<string, string> },
  signal: AbortSignal,
  use: (done: Done) => Promise<T>,
  more: { limits?: Partial<Limits>; onProgress?: (progress: Progress) => void } = {},
): Promise<T> {
  const { files, ...wanted } = set
  const folder = await mkdtemp(join(scratch, 'training-set-'))
  try {
    for (const [name, path] of Object.entries(files)) await symlink(path, join(folder, name))
    const request = { folder, limits: { ...LIMITS, ...more.limits }, ...wanted }
    const reply = await ask(request, signal, more.onProgress ?? (() => {}))
    if ('failed' in reply) throw faultOf(reply)
    const bytes = createReadStream(join(folder, RESULT), { highWaterMark: 262_144 })
    return await use({ ...reply, bytes })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function ask(
  request: object,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<Made | Failed> {
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
    return await answer(child, request, onProgress)
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

function answer(
  child: ChildProcess,
  request: object,
  onProgress: (progress: Progress) => void,
): Promise<Made | Failed> {
  const { promise, resolve, reject } = Promise.withResolvers<Made | Failed>()
  const onEnd = (why: unknown) => {
    const internal = `the process of the training set ended: ${why}`
    reject(new AppError('unavailable', { internal, retryable: true }))
  }
  child.on('message', (reply: Reply) => {
    if ('progress' in reply) onProgress(reply.progress)
    else resolve(reply)
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
