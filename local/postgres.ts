/**
 * The embedded database: a real PostgreSQL server as a child process, its data in the data folder,
 * reachable only through a socket in a folder that nobody else can enter. It stops cleanly when this
 * process is killed, and it never restarts itself: whoever supervises it starts it again.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { DATABASE, PORT, SUPERUSER, socketFolder } from './postgres/address.ts'
import { type Cluster, here, openCluster, serverEnv } from './postgres/cluster.ts'
import { clearStrays } from './postgres/strays.ts'

export type Exit = { code: number | null; signal: NodeJS.Signals | null }
export type Postgres = {
  /** Folder of the socket, as `host` of a client whose working directory is the data folder. */
  host: string
  port: number
  user: string
  database: string
  pid: number
  exited: Promise<Exit>
  /** Ends sessions and the server; with no grace it does not wait for a checkpoint. */
  stop(graceMs?: number): Promise<void>
}
export type PostgresOptions = {
  /** Absolute; the cluster lives in `postgres` below it. */
  dataFolder: string
  log: Log
  /** Gives up the start; what was started is ended. */
  signal?: AbortSignal
  /** An open file for what the server says; without one it goes nowhere. */
  output?: number
  /** Besides ours, or in place of them. */
  settings?: Record<string, string>
}

/**
 * Small, because it shares one machine with everything else. `restart_after_crash` is off because a
 * stop that meets a server repairing itself can hang it; shared memory is a file because the posix
 * kind leaves files behind after kill -9.
 */
const SETTINGS = {
  autovacuum_max_workers: 1,
  autovacuum_worker_slots: 1,
  dynamic_shared_memory_type: 'mmap',
  huge_pages: 'off',
  io_method: 'sync',
  jit: 'off',
  listen_addresses: '',
  log_checkpoints: 'off',
  log_timezone: 'UTC',
  max_connections: 24,
  max_logical_replication_workers: 0,
  max_parallel_workers: 0,
  max_replication_slots: 0,
  max_wal_senders: 0,
  max_wal_size: '512MB',
  max_worker_processes: 0,
  min_wal_size: '32MB',
  restart_after_crash: 'off',
  shared_buffers: '256MB',
  timezone: 'UTC',
  wal_level: 'minimal',
}

/**
 * Stands in front of the server and becomes it. The half that stays behind reads a pipe that only
 * our process holds: its end, however we die, stops the server. The group's number is not given out
 * again while this half lives in it, so no signal can reach a stranger.
 */
const GUARD = `exec 3<&0
( cat <&3 >/dev/null
  for signal in INT INT INT INT INT QUIT QUIT QUIT KILL; do
    kill -$signal $$ || exit
    for tenth in 0 1 2 3 4 5 6 7 8 9; do sleep 0.1 || sleep 1; kill -0 $$ || exit; done
  done
) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-`

/** Starts the server, after making the cluster the first time; resolves when it takes connections. */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const host = socketFolder(options.dataFolder)
  const cluster = await openCluster(options.dataFolder)
  const strays = await clearStrays(cluster)
  if (strays.length > 0) options.log.info('postgres strays ended', { pids: strays })
  options.signal?.throwIfAborted()
  const child = launch(cluster, options)
  const exited = once(child, 'exit').then(([code, signal]): Exit => {
    // The guard's other half waits for the end of this pipe.
    child.stdin?.destroy()
    return { code, signal }
  })
  const stop = (graceMs = 10_000) => stopServer(child, exited, graceMs)
  await accepting(cluster, child, options.signal).catch(async error => {
    await stop(0)
    throw error
  })
  const address = { host, port: PORT, user: SUPERUSER, database: DATABASE }
  return { ...address, pid: child.pid!, exited, stop }
}

function launch(cluster: Cluster, { output, settings: given }: PostgresOptions): ChildProcess {
  const { uid, gid, wrap } = cluster.account
  const settings = Object.entries({ ...SETTINGS, ...given }).flatMap(([key, value]) => [
    '-c',
    `${key}=${value}`,
  ])
  const server = [cluster.binaries.postgres, '-D', here(cluster.folder), '-k', '.', ...settings]
  const child = spawn('/bin/sh', ['-c', GUARD, 'sh', ...wrap, ...server], {
    cwd: cluster.folder,
    env: serverEnv(),
    uid,
    gid,
    detached: true,
    stdio: ['pipe', output ?? 'ignore', output ?? 'ignore'],
  })
  child.stdin?.on('error', () => {})
  return child
}

/** The server writes its state into its pid file; recovery after a crash may take its time. */
async function accepting(cluster: Cluster, child: ChildProcess, signal?: AbortSignal) {
  const path = join(cluster.folder, 'postmaster.pid')
  let failure: Error | undefined
  child.once('error', error => {
    failure = error
  })
  for (;;) {
    signal?.throwIfAborted()
    if (failure) throw failure
    if (child.exitCode !== null || child.signalCode !== null)
      throw new AppError('unavailable', {
        public: 'The embedded database ended before it took connections.',
        internal: `postgres ended with ${child.exitCode ?? child.signalCode}`,
        retryable: true,
      })
    const lines = read(path).split('\n')
    if (Number(lines[0]) === child.pid && lines[7]?.startsWith('ready')) return
    await pause(5)
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** A stop can hang when it meets a crash: each signal gets its time, then the next one follows. */
async function stopServer(child: ChildProcess, exited: Promise<Exit>, graceMs: number) {
  if (child.pid === undefined) return
  const escalation: [NodeJS.Signals, number][] = [
    ['SIGINT', graceMs],
    ['SIGQUIT', 5000],
    ['SIGKILL', 5000],
  ]
  for (const [signal, waitMs] of escalation) {
    if (waitMs === 0) continue
    child.kill(signal)
    const timer = new AbortController()
    const late = pause(waitMs, true, { signal: timer.signal }).catch(() => false)
    const isLate = await Promise.race([exited.then(() => false), late])
    timer.abort()
    if (!isLate) return
  }
}
