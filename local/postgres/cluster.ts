/**
 * The folder of the embedded database, made once. It grows under another name and gets its own by a
 * rename, so that whoever is killed during the set-up leaves nothing half made.
 */
import { spawn } from 'node:child_process'
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { AppError } from '#core/error.ts'
import { type Account, accountFor } from './account.ts'
import { DATABASE, SUPERUSER } from './address.ts'
import { type Binaries, binariesFor } from './binaries.ts'

const MAJOR = '18'

export type Cluster = { folder: string; account: Account; binaries: Binaries }

/** The cluster in `<data>/postgres`, made if there is none. */
export async function openCluster(dataFolder: string): Promise<Cluster> {
  const folder = join(dataFolder, 'postgres')
  const version = versionOf(folder)
  if (version === undefined) return make(dataFolder, folder)
  if (version !== MAJOR)
    throw new AppError('conflict', {
      public: `${folder} was written by PostgreSQL ${version}, and this Galley carries ${MAJOR}: start the Galley that wrote it, or choose another data folder with --data.`,
    })
  const account = accountFor(folder)
  return { folder, account, binaries: binariesFor(account) }
}

/** undefined: there is no cluster. */
function versionOf(folder: string): string | undefined {
  try {
    return readFileSync(join(folder, 'PG_VERSION'), 'utf8').trim()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
  }
  try {
    closeSync(openSync(folder, 'r'))
  } catch {
    return undefined
  }
  throw new AppError('conflict', {
    public: `${folder} holds no database although it exists: restore it from a backup, or remove it to start with an empty one.`,
  })
}

async function make(dataFolder: string, folder: string): Promise<Cluster> {
  const half = `${folder}.new`
  rmSync(half, { recursive: true, force: true })
  mkdirSync(half, { mode: 0o700 })
  const account = accountFor(half)
  const binaries = binariesFor(account)
  const cluster = { folder: half, account, binaries }
  await runIn(cluster, binaries.initdb, [
    '-D', here(half), '-U', SUPERUSER, '--auth=trust', '--encoding=UTF8',
    '--locale-provider=builtin', '--locale=C', '--builtin-locale=C.UTF-8',
  ]) // biome-ignore format: pairs of a flag and its value
  const create = ['--single', '-D', here(half), '-c', 'log_checkpoints=off', 'postgres']
  await runIn(cluster, binaries.postgres, create, `CREATE DATABASE ${DATABASE}\n`)
  renameSync(half, folder)
  syncFolder(dataFolder)
  return { folder, account, binaries }
}

/**
 * The cluster as its own programs name it. On Linux they start inside it and name it through their
 * working directory, which is entered before rights are given up: the folders above may be closed.
 */
export function here(folder: string): string {
  return process.platform === 'linux' ? '/proc/self/cwd' : folder
}

/** What the database's programs see of our environment: nothing that would change what they do. */
export function serverEnv(): Record<string, string> {
  return { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' }
}

/** Ends the set-up, all of its processes, when ours is killed: the next start begins it anew. */
const GUARD = `exec 4<&0
( cat <&4 >/dev/null; kill -KILL -$$ ) >/dev/null 2>&1 3<&- &
exec "$@" <&3 3<&- 4<&-`

function runIn(cluster: Cluster, program: string, args: string[], input = ''): Promise<void> {
  const { uid, gid, wrap } = cluster.account
  const command = ['-c', GUARD, 'sh', ...wrap, program, ...args]
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', command, {
      cwd: cluster.folder,
      env: serverEnv(),
      uid,
      gid,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    })
    const said: Buffer[] = []
    child.stdout?.on('data', chunk => said.push(chunk))
    child.stderr?.on('data', chunk => said.push(chunk))
    child.stdin?.on('error', () => {})
    const to = child.stdio[3] as Writable
    to.on('error', () => {})
    to.end(input)
    child.on('error', reject)
    child.on('exit', () => child.stdin?.destroy())
    child.on('close', status => {
      if (status === 0) return resolve()
      reject(setUpFailed(Buffer.concat(said).toString().trim().split('\n')))
    })
  })
}

function setUpFailed(lines: string[]): AppError {
  const reason = lines.findLast(line => /error|fatal|could not/i.test(line)) ?? lines.at(-1)
  return new AppError('unavailable', {
    public: `The embedded database could not be set up (${reason}): start Galley as an ordinary user that /etc/passwd names, or name a server with --database-url.`,
    internal: lines.join('\n'),
  })
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r')
  fsyncSync(handle)
  closeSync(handle)
}
