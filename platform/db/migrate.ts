/** Brings a database to this version's schema, once, whoever else tries at the same time. */
import { fileURLToPath } from 'node:url'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate as applyMigrations } from 'drizzle-orm/node-postgres/migrator'
import pg from 'pg'
import { connectionOf } from './postgres.ts'

/** Any constant will do as long as every version of the code uses the same one. */
const ADVISORY_LOCK = 4_741_553

/**
 * Applies what is missing under an advisory lock, and gives the application's role its password.
 * Needs a role that may create tables and roles.
 */
export async function migrate(config: { adminUrl: string; appPassword: string }): Promise<void> {
  const client = new pg.Client(connectionOf(config.adminUrl))
  await client.connect()
  try {
    await client.query('select pg_advisory_lock($1)', [ADVISORY_LOCK])
    await applyMigrations(drizzle({ client }), {
      migrationsFolder: fileURLToPath(new URL('../../schemas/migrations', import.meta.url)),
    })
    await client.query(`alter role galley_app password ${client.escapeLiteral(config.appPassword)}`)
  } finally {
    await client.end()
  }
}
