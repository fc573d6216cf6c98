/**
 * The data folder: its layout, what it says of itself, and its secrets. Whatever is wrong with it is
 * told in one sentence before anything is started; nothing in it is ever replaced silently.
 */
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import * as z from 'zod'
import { AppError } from '#core/error.ts'
import type { Flags } from './flags.ts'
import { type Lock, lockFolder } from './lock.ts'

/** Rises when an older Galley could not read the folder any more. */
const FORMAT = 1
const FREE_BYTES_MIN = 256 * 1024 * 1024
const FOLDERS = ['run', 'log', 'objects', 'blobs', 'receipts']
/** What a first start that was killed may have left before it wrote `galley.json`. */
const EARLY_NAMES = new Set([...FOLDERS, 'lock', 'lock-journal', 'lost+found', 'secrets.json'])

const SQLITE_CANTOPEN = 14
const SQLITE_NOTADB = 26

const about = z.object({
  format: z.int(),
  created: z.string(),
  /** Which edge's engine wrote `objects/`; another one cannot read it. */
  objects_engine: z.enum(['node', 'workerd']),
  /** Where its queues and blobs are: what is in one place is not in another. */
  queue_engine: z.enum(['postgres', 'sqs']).default('postgres'),
  blob_engine: z.enum(['folder', 's3']).default('folder'),
})
const secrets = z.object({
  /** base64, 32 bytes: signs what the places send each other. */
  signing_key: z.string().length(44),
  /** Password of the database role `galley_app`. */
  app_password: z.string().min(20),
})

/** What keeps the data of a folder. */
export type Engines = Pick<Flags, 'edge' | 'queue' | 'blob'>

export type DataFolder = {
  path: string
  secrets: z.infer<typeof secrets>
  lock: Lock
}

/** By hand: Node's recursive form tries for ever where a file system refuses names, as /proc does. */
function makeFolder(path: string): void {
  if (existsSync(path)) return
  makeFolder(dirname(path))
  mkdirSync(path, { mode: 0o700 })
}

/** Opens or makes the folder and locks it. Throws an AppError whose public text says what to do. */
export function openFolder(
  path: string,
  engines: Engines,
  freeBytesMin = FREE_BYTES_MIN,
): DataFolder {
  try {
    return open(path, engines, freeBytesMin)
  } catch (error) {
    throw explained(error, path)
  }
}

function open(path: string, engines: Engines, freeBytesMin: number): DataFolder {
  makeFolder(path)
  refuseStranger(path)
  chmodSync(path, 0o700)
  refuseFullDisk(path, freeBytesMin)
  for (const name of FOLDERS) mkdirSync(join(path, name), { recursive: true, mode: 0o700 })
  const lock = lockFolder(path)
  try {
    // Sockets of a start that was killed.
    for (const name of readdirSync(join(path, 'run')))
      rmSync(join(path, 'run', name), { recursive: true })
    return { path, secrets: settle(path, engines), lock }
  } catch (error) {
    lock.release()
    throw error
  }
}

/** Reads what the folder says, or writes it the first time: `galley.json` last, it seals the rest. */
function settle(path: string, engines: Engines): z.infer<typeof secrets> {
  const aboutPath = join(path, 'galley.json')
  const secretsPath = join(path, 'secrets.json')
  const known = readJson(aboutPath)
  if (known === undefined) {
    const made = readJson(secretsPath) ?? newSecrets()
    writeJson(secretsPath, made)
    const created = new Date().toISOString()
    writeJson(aboutPath, {
      format: FORMAT,
      created,
      objects_engine: engines.edge,
      queue_engine: engines.queue,
      blob_engine: engines.blob,
    })
    return checked(secrets, made, secretsPath)
  }
  const format = (known as { format?: unknown } | null)?.format
  if (typeof format === 'number' && format > FORMAT)
    throw new AppError('conflict', {
      public: `${path} was written by a newer Galley (format ${format}, this one knows ${FORMAT}): start that version, or choose another folder with --data.`,
    })
  const written = checked(about, known, aboutPath)
  refuseOther(path, 'objects', '--edge', written.objects_engine, engines.edge)
  refuseOther(path, 'queues', '--queue', written.queue_engine, engines.queue)
  refuseOther(path, 'blobs', '--blob', written.blob_engine, engines.blob)
  return checked(secrets, readJson(secretsPath) ?? null, secretsPath)
}

function refuseOther(path: string, what: string, flag: string, written: string, asked: string) {
  if (written === asked) return
  throw new AppError('conflict', {
    public: `The ${what} of ${path} were written with ${flag} ${written} and cannot be read with ${flag} ${asked}: start with ${flag} ${written}, or choose another folder with --data.`,
  })
}

function newSecrets(): z.infer<typeof secrets> {
  return {
    signing_key: randomBytes(32).toString('base64'),
    app_password: randomBytes(24).toString('base64url'),
  }
}

/** undefined: there is no such file. null: it holds no JSON. */
function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    if (error instanceof SyntaxError) return null
    throw error
  }
}

/** All or nothing, also when the power fails. */
function writeJson(path: string, value: unknown): void {
  const half = `${path}.new`
  writeFileSync(half, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600, flush: true })
  renameSync(half, path)
  const folder = openSync(join(path, '..'), 'r')
  fsyncSync(folder)
  closeSync(folder)
}

function checked<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw new AppError('conflict', {
    public: `${path} is missing or damaged: restore it from a backup, or choose another folder with --data to start afresh.`,
    internal: parsed.error.message,
  })
}

function refuseStranger(path: string): void {
  const names = readdirSync(path)
  if (names.includes('galley.json')) return
  const strange = names.find(name => !EARLY_NAMES.has(name.replace(/\.new$/, '')))
  if (strange !== undefined)
    throw new AppError('conflict', {
      public: `${path} holds other things (${strange}) and no galley.json: name an empty or a new folder with --data.`,
    })
}

function refuseFullDisk(path: string, freeBytesMin: number): void {
  const disk = statfsSync(path)
  const free = disk.bavail * disk.bsize
  if (free < freeBytesMin) throw diskFull(path, freeBytesMin, `${megabytes(free)} MB`)
}

function diskFull(path: string, freeBytesMin: number, free: string): AppError {
  return new AppError('insufficient_storage', {
    public: `The disk of ${path} has ${free} free and Galley needs ${megabytes(freeBytesMin)} MB: make room, or choose another folder with --data.`,
  })
}

function megabytes(bytes: number): number {
  return Math.floor(bytes / 1024 / 1024)
}

function explained(error: unknown, path: string): unknown {
  const { code, errcode } = error as { code?: string; errcode?: number }
  if (code === 'ENOSPC') return diskFull(path, FREE_BYTES_MIN, 'no room')
  if (code === 'ERR_SQLITE_ERROR' && errcode === SQLITE_NOTADB)
    return new AppError('conflict', {
      public: `${join(path, 'lock')} is damaged: make sure that no Galley runs on this folder, then remove that file.`,
      cause: error,
    })
  const cannotOpen = code === 'ERR_SQLITE_ERROR' && errcode === SQLITE_CANTOPEN
  if (!cannotOpen && !['EACCES', 'EPERM', 'EROFS', 'ENOENT', 'ENOTDIR', 'EEXIST'].includes(code!))
    return error
  return new AppError('invalid_request', {
    public: `${path} is not a folder that this user may write to: give it to the user that runs Galley, or choose another one with --data.`,
    cause: error,
  })
}
