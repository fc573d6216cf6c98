/** Brings a database to this version's schema, once, whoever else tries at the same time. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate as applyMigrations } from 'drizzle-orm/node-postgres/migrator'
import pg from 'pg'
import { AppError } from '#core/error.ts'
import { connectionOf } from './postgres.ts'
import { isVerifierOf, verifierOf } from './verifier.ts'

/** Any constant will do as long as every version of the code uses the same one. */
const ADVISORY_LOCK = 4_741_553
/**
 * A migration that waits for a table makes everyone wait who comes after it: it gives up soon, and comes
 * again when whoever holds the table may have ended.
 */
const LOCK_TIMEOUT_MS = 2_000
const TRY_AGAIN_MS_MAX = 5_000
const GIVE_UP_MS = 300_000
const LOCK_NOT_AVAILABLE = '55P03'
const DEADLOCK = '40P01'
const OURS = fileURLToPath(new URL('../../schemas/migrations', import.meta.url))

/** How many migrations this call applied, and the newest of this version of the code. */
export type Migrated = { applied: number; newest: string }

/**
 * Applies what is missing under an advisory lock, and gives the application's role its password.
 * Needs a role that may create tables and roles, and a connection of its own. All of it is stored, or
 * nothing. Throws `unavailable` while others hold a table that it changes, and `invalid_request` for a
 * password that is not printable ASCII.
 */
export async function migrate(config: {
  adminUrl: string
  appPassword: string
  /** Where the migrations are, in a bundle. */
  migrationsFolder?: string
  /** For how long others may keep a table from it. */
  giveUpMs?: number
}): Promise<Migrated> {
  const migrationsFolder = config.migrationsFolder ?? OURS
  const client = new pg.Client(connectionOf(config.adminUrl))
  // What is under way when the connection ends is told so itself.
  client.on('error', () => {})
  await client.connect()
  try {
    // A migration takes the time that it takes, whatever the server allows a request.
    await client.query('set statement_timeout = 0')
    await client.query('select pg_advisory_lock($1)', [ADVISORY_LOCK])
    const before = await countOf(client)
    // Not before: the lock above is to be waited for.
    await client.query(`set lock_timeout = ${LOCK_TIMEOUT_MS}`)
    await whileLocked(config.giveUpMs ?? GIVE_UP_MS, () =>
      applyMigrations(drizzle({ client }), { migrationsFolder }),
    )
    await givePassword(client, config.appPassword)
    return { applied: (await countOf(client)) - before, newest: newestOf(migrationsFolder) }
  } finally {
    await client.end()
  }
}

/**
 * Only its verifier leaves this process: a server may log each statement. One that the role has already
 * stays; an owner who is no superuser, as RDS makes it, cannot see it and writes another one.
 */
async function givePassword(client: pg.Client, password: string): Promise<void> {
  const may = await client.query(
    `select has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'select') as see`,
  )
  if (may.rows[0].see) {
    const { rows } = await client.query(
      `select rolpassword from pg_catalog.pg_authid where rolname = 'galley_app'`,
    )
    const kept: string | null = rows[0]?.rolpassword ?? null
    if (kept !== null && (await isVerifierOf(kept, password))) return
  }
  const verifier = client.escapeLiteral(await verifierOf(password))
  await client.query(`alter role galley_app password ${verifier}`)
}

/** Each try is one transaction, so that one which gave up has changed nothing. */
async function whileLocked(giveUpMs: number, work: () => Promise<void>): Promise<void> {
  const until = performance.now() + giveUpMs
  for (;;) {
    try {
      return await work()
    } catch (error) {
      const { code } = ((error as Error).cause ?? error) as { code?: string }
      if (code !== LOCK_NOT_AVAILABLE && code !== DEADLOCK) throw error
      if (performance.now() > until) {
        throw new AppError('unavailable', {
          public: `The migrations could not change a table within ${giveUpMs / 1000} s, because others use it: end what holds it for so long, and start them again.`,
          internal: String((error as Error).cause ?? error),
          retryable: true,
          cause: error,
        })
      }
      await sleep(Math.random() * TRY_AGAIN_MS_MAX)
    }
  }
}

async function countOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query(
    `select to_regclass('drizzle.__drizzle_migrations') is not null as made`,
  )
  if (!rows[0].made) return 0
  const counted = await client.query('select count(*)::int as n from drizzle.__drizzle_migrations')
  return counted.rows[0].n
}

function newestOf(folder: string): string {
  const { entries } = JSON.parse(readFileSync(join(folder, 'meta', '_journal.json'), 'utf8'))
  return entries.at(-1).tag
}
