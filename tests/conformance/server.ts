/** A database server of the test's own, migrated, in a temporary folder: it may be killed and started again. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { type Postgres, startPostgres } from '#local/postgres.ts'
import { migrate } from '#platform/db/migrate.ts'
import { connectionOf } from '#platform/db/postgres.ts'

export type Server = {
  /** As the application's role. */
  connection: pg.ClientConfig
  /** As the owner of everything. */
  admin: pg.ClientConfig
  start(): Promise<void>
  /** As a crash does it: kill -9 of the postmaster; its children see that and go. */
  kill(): Promise<void>
  stop(): Promise<void>
}

export async function startServer(): Promise<Server> {
  const dataFolder = mkdtempSync(join(tmpdir(), 'galley-pg-'))
  const log = { info() {}, error() {} }
  let running: Postgres
  const start = async () => {
    running = await startPostgres({ dataFolder, log })
  }
  await start()
  const url = (user: string) => {
    const { host, port, database } = running
    return `postgres://${user}@localhost:${port}/${database}?host=${encodeURIComponent(host)}`
  }
  await migrate({ adminUrl: url(running!.user), appPassword: 'conformance' })
  return {
    connection: { ...connectionOf(url('galley_app')), password: 'conformance' },
    admin: connectionOf(url(running!.user)),
    start,
    async kill() {
      process.kill(running.pid, 'SIGKILL')
      await running.exited
    },
    async stop() {
      await running.stop()
      rmSync(dataFolder, { recursive: true, force: true })
    },
  }
}
