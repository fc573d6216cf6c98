/** Brings a database to this version's schema, once, whoever else tries at the same time. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate as applyMigrations } from 'drizzle-orm/node-postgres/migrator'
import pg from 'pg'
import { connectionOf } from './postgres.ts'

/** Any constant will do as long as every version of the code uses the same one. */
const ADVISORY_LOCK = 4_741_553
const OURS = fileURLToPath(new URL('../../schemas/migrations', import.meta.url))

/** How many migrations this call applied, and the newest of this version of the code. */
export type Migrated = { applied: number; newest: string }

/**
 * Applies what is missing under an advisory lock, and gives the application's role its password.
 * Needs a role that may create tables and roles.
 */
export async function migrate(config: {
  adminUrl: string
  appPassword: string
  /** Where the migrations are, in a bundle. */
  migrationsFolder?: string
}): Promise<Migrated> {
  const migrationsFolder = config.migrationsFolder ?? OURS
  const client = new pg.Client(connectionOf(config.adminUrl))
  await client.connect()
  try {
    // A migration takes the time that it takes, whatever the server allows a request.
    await client.query('set statement_timeout = 0')
    await client.query('select pg_advisory_lock($1)', [ADVISORY_LOCK])
    const before = await countOf(client)
    await applyMigrations(drizzle({ client }), { migrationsFolder })
    await client.query(`alter role galley_app password ${client.escapeLiteral(config.appPassword)}`)
    return { applied: (await countOf(client)) - before, newest: newestOf(migrationsFolder) }
  } finally {
    await client.end()
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
