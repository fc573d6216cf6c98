/** PostgreSQL as a cloud has it: on TCP, over TLS alone, with passwords; it may be killed and started again. */
import { chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { type Postgres, type PostgresOptions, startPostgres } from '#local/postgres.ts'
import { migrate } from '#platform/db/migrate.ts'
import { connectionOf } from '#platform/db/postgres.ts'
import { newAuthority } from './certificates.ts'

export type CloudDatabase = {
  /** As the application's role; the CA is in the URL. */
  url: string
  /** As the owner of everything, by the server's socket. */
  admin: pg.ClientConfig
  adminUrl: string
  port: number
  folder: string
  /** kill -9. */
  kill(): Promise<void>
  start(): Promise<void>
  stop(): Promise<void>
}

const APP_PASSWORD = 'a password of the test alone'
const HOST = 'localhost'

/** `output` is an open file for what the server says. */
export async function startDatabase(
  given: Pick<PostgresOptions, 'output' | 'settings'> = {},
): Promise<CloudDatabase> {
  const folder = mkdtempSync(join(tmpdir(), 'galley-cloud-db-'))
  const log = { info() {}, error() {} }
  const port = await freePort()
  const first = await startPostgres({ dataFolder: folder, log })
  const adminUrl = `postgres://${first.user}@localhost/${first.database}?host=${encodeURIComponent(first.host)}`
  await migrate({ adminUrl, appPassword: APP_PASSWORD })
  const cluster = join(folder, 'postgres')
  const { uid, gid } = statSync(join(cluster, 'PG_VERSION'))
  const file = (name: string, text: string) => {
    const path = join(cluster, name)
    writeFileSync(path, text, { mode: 0o600 })
    chownSync(path, uid, gid)
  }
  const authority = newAuthority('CA of a test')
  const { certificate, key } = authority.issue(HOST)
  const ca = join(folder, 'ca.pem')
  writeFileSync(ca, authority.pem)
  file('server.pem', certificate)
  file('server.key', key)
  file('pg_hba.conf', 'local all all trust\nhostssl all galley_app 127.0.0.1/32 scram-sha-256\n')
  await first.stop()
  let running: Postgres
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    ssl: 'on',
    ssl_cert_file: 'server.pem',
    ssl_key_file: 'server.key',
    ...given.settings,
  }
  const start = async () => {
    running = await startPostgres({ dataFolder: folder, log, output: given.output, settings })
  }
  await start()
  const url = new URL(`postgres://galley_app@${HOST}:${port}/${first.database}`)
  url.password = APP_PASSWORD
  url.searchParams.set('sslmode', 'verify-full')
  url.searchParams.set('sslrootcert', ca)
  return {
    url: url.href,
    adminUrl: adminUrl.replace('@localhost/', `@localhost:${port}/`),
    admin: { ...connectionOf(adminUrl), port },
    port,
    folder,
    start,
    async kill() {
      process.kill(running.pid, 'SIGKILL')
      await running.exited
    },
    async stop() {
      await running.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Another CA, in a file. */
export function strangerIn(folder: string): string {
  const path = join(folder, 'stranger.pem')
  writeFileSync(path, newAuthority('another CA').pem)
  return path
}

function freePort(): Promise<number> {
  return new Promise(resolve => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}
