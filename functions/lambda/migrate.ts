/** A step of each deployment, before the new code runs: the schema, and the password of the application's role. */
import { join } from 'node:path'
import * as z from 'zod'
import { migrate } from '#platform/db/migrate.ts'
import { databaseUrl, invoked, openClockAndLog } from '../invocation/base.ts'
import { readPlaces } from '../invocation/env.ts'
import { readSecrets } from '../invocation/secrets.ts'

/** As RDS writes the secret of a database's owner. */
const owner = z.object({ username: z.string(), password: z.string() })

const { log } = openClockAndLog()
const places = readPlaces([
  'GALLEY_OWNER_SECRET_ARN',
  'GALLEY_DATABASE_SECRET_ARN',
  'GALLEY_DATABASE_HOST',
])

/** Answers what it applied. Called again, and by two at once, it applies what is missing once. */
export const handler = () =>
  invoked({ log }, 'migrate', async () => {
    // Read at each call: RDS changes the owner's password by itself.
    const { owned, appPassword } = await readSecrets({
      owned: places.GALLEY_OWNER_SECRET_ARN,
      appPassword: places.GALLEY_DATABASE_SECRET_ARN,
    })
    const { username: user, password } = owner.parse(JSON.parse(owned))
    const migrationsFolder = join(import.meta.dirname, 'migrations')
    const adminUrl = databaseUrl(places.GALLEY_DATABASE_HOST, { user, password })
    const report = await migrate({ adminUrl, appPassword, migrationsFolder })
    log.info('functions.migrated', report)
    return report
  })
