/** Parquet for the runner: shards by row groups, spans of rows as lines of JSON, parts joined into a file. */
import { type ChildProcess, fork } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { getCompileCacheDir } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AppError } from '#core/error.ts'
import type { ShardInput } from '#core/jobs/jobs.ts'
import type { Datatype, Signature } from '#schemas/signature.ts'
import { keeper } from '../keeper.ts'
import { joinPairs, type Plan, SHARD_LIMITS, type ShardLimits } from '../plan.ts'
import {
  type Column,
  type Failed,
  INPUT,
  type Inspected,
  partName,
  RESULT,
  type Reply,
  type Request,
  ROWS,
} from './commands.ts'

/** More rows than of JSONL: every shard reads its row group from the start. */
export const PARQUET_LIMITS: ShardLimits = { ...SHARD_LIMITS, rows: 20_000 }

const children = keeper<ChildProcess>({
  start() {
    const cache = getCompileCacheDir()
    return fork(fileURLToPath(new URL('./child.ts', import.meta.url)), {
      env: cache ? { NODE_COMPILE_CACHE: cache } : {},
      execArgv: ['--no-warnings'],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
  },
  stop: child => void child.kill('SIGKILL'),
  hold(child, held) {
    if (held) child.ref()
    else child.unref()
    if (held) child.channel?.ref()
    else child.channel?.unref()
  },
})

/** Throws `invalid_body` for a file that is not Parquet or lacks a column that the model needs. */
export async function planParquet(
  scratch: string,
  path: string,
  signature: Signature,
  signal: AbortSignal,
  limits = PARQUET_LIMITS,
): Promise<Plan> {
  const { columns, groups } = await inFolder(scratch, { [INPUT]: path }, async folder =>
    readable(await ask<Inspected>({ folder, kind: 'inspect' }, signal)),
  )
  const missing = signature.inputs.filter(input => !columns.includes(input.name))
  if (missing.length > 0) {
    const given = columns
      .slice(0, 50)
      .map(name => JSON.stringify(name))
      .join(', ')
    throw new AppError('invalid_body', {
      public: `The input has no column ${missing.map(input => JSON.stringify(input.name)).join(', ')}, which the model takes; it has ${given}.`,
    })
  }
  return { rows: groups.reduce((sum, group) => sum + group.rows, 0), shards: spans(groups, limits) }
}

/** The rows of a span as lines of JSON with the model's inputs; `use` gets them while they exist. */
export async function withRows<T>(
  scratch: string,
  path: string,
  span: { signature: Signature; start: number; end: number },
  signal: AbortSignal,
  use: (lines: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const columns = span.signature.inputs.map(input => input.name)
  const command = { kind: 'rows', columns, from: span.start, to: span.end } as const
  return inFolder(scratch, { [INPUT]: path }, async folder => {
    readable(await ask({ folder, ...command }, signal))
    return use(createReadStream(join(folder, ROWS), { highWaterMark: 262_144 }))
  })
}

/** The parts' lines as one Parquet file; `use` gets its bytes while it exists. */
export async function withJoined<T>(
  scratch: string,
  paths: string[],
  signature: Signature,
  signal: AbortSignal,
  use: (bytes: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const links = Object.fromEntries(paths.map((path, number) => [partName(number), path]))
  const command = { kind: 'join', parts: paths.length, columns: columnsOf(signature) } as const
  return inFolder(scratch, links, async folder => {
    const reply = await ask({ folder, ...command }, signal)
    if ('failed' in reply) {
      const failed = reply as Failed
      throw outOf(failed) ?? new AppError('internal', { internal: failed.text })
    }
    return use(createReadStream(join(folder, RESULT), { highWaterMark: 262_144 }))
  })
}

/** One column an output: a scalar where a row has one value, otherwise lists as deep as its dimensions. */
export function columnsOf(signature: Signature): Column[] {
  const taken = new Set(['index', 'error'])
  return signature.outputs.map(({ name: wanted, datatype, shape, batch_axis }, i) => {
    // Readers of Parquet rarely tell case apart.
    let name = wanted
    while (taken.has(name.toLowerCase())) name += '_'
    taken.add(name.toLowerCase())
    const depth = shape.length - (batch_axis === null ? 0 : 1)
    return { key: `o${i}`, name, type: SQL_TYPES[datatype] + '[]'.repeat(depth) }
  })
}

/** Row groups cut where they are large, and joined where they are small. */
function spans(groups: Inspected['groups'], limits: ShardLimits): ShardInput[] {
  let shards: ShardInput[] = []
  let row = 0
  let open = { rows: 0, bytes: 0 }
  const close = (rows: number) => {
    if (rows > 0) shards.push({ start: row, end: row + rows, row, rows })
    row += rows
  }
  for (const { rows, bytes } of groups) {
    if (open.rows + rows > limits.rows || open.bytes + bytes > limits.bytes) {
      close(open.rows)
      open = { rows: 0, bytes: 0 }
    }
    const pieces = Math.ceil(Math.max(rows / limits.rows, Math.min(rows, bytes / limits.bytes)))
    if (pieces <= 1) open = { rows: open.rows + rows, bytes: open.bytes + bytes }
    else for (let i = 0; i < pieces; i++) close(part(rows, pieces, i + 1) - part(rows, pieces, i))
  }
  close(open.rows)
  while (shards.length > limits.shards) shards = joinPairs(shards)
  return shards
}

function part(rows: number, pieces: number, i: number): number {
  return Math.floor((rows * i) / pieces)
}

/** A folder of the step with the files under known names; gone afterwards, whatever happened. */
async function inFolder<T>(
  scratch: string,
  links: Record<string, string>,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(scratch, 'bulk-'))
  try {
    for (const [name, path] of Object.entries(links)) await symlink(path, join(folder, name))
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function ask<T extends Reply>(request: Request, signal: AbortSignal): Promise<T | Failed> {
  signal.throwIfAborted()
  const child = children.take()
  const { promise, resolve, reject } = Promise.withResolvers<T | Failed>()
  const onAbort = () => reject(signal.reason)
  const onEnd = (why: unknown) => {
    const internal = `the Parquet process ended: ${why}`
    reject(new AppError('unavailable', { internal, retryable: true }))
  }
  const onExit = (code: number | null, end: string | null) => onEnd(end ?? `code ${code}`)
  child.on('message', resolve)
  child.on('error', onEnd)
  child.on('exit', onExit)
  signal.addEventListener('abort', onAbort)
  let done = false
  try {
    child.send(request)
    const reply = await promise
    done = true
    return reply
  } finally {
    child.off('message', resolve)
    child.off('error', onEnd)
    child.off('exit', onExit)
    signal.removeEventListener('abort', onAbort)
    if (done) children.giveBack(child)
    else {
      child.on('error', () => {})
      child.kill('SIGKILL')
    }
  }
}

function readable<T extends Reply>(reply: T | Failed): T {
  if (!('failed' in reply)) return reply as T
  const failed = reply as Failed
  throw (
    outOf(failed) ??
    new AppError('invalid_body', {
      public: `The input cannot be read as Parquet: ${failed.text.slice(0, 300)}`,
    })
  )
}

function outOf({ failed, text }: Failed): AppError | null {
  if (failed === 'disk') {
    return new AppError('insufficient_storage', { internal: text, retryable: true })
  }
  if (failed !== 'memory') return null
  return new AppError('invalid_body', {
    public: 'The row groups of the input need too much memory to read; write it with smaller ones.',
    internal: text,
  })
}

const SQL_TYPES: Record<Datatype, string> = {
  BOOL: 'BOOLEAN',
  UINT8: 'UTINYINT',
  UINT16: 'USMALLINT',
  UINT32: 'UINTEGER',
  UINT64: 'UBIGINT',
  INT8: 'TINYINT',
  INT16: 'SMALLINT',
  INT32: 'INTEGER',
  INT64: 'BIGINT',
  FP16: 'FLOAT',
  BF16: 'FLOAT',
  FP32: 'FLOAT',
  FP64: 'DOUBLE',
  BYTES: 'VARCHAR',
}
