/** A step of each deployment, before the new code runs: the schema, and the password of the application's role. */
import { join } from 'node:path'
import { migrate } from '#platform/db/migrate.ts'
import { databaseUrl, type Invocation, invoked, openClockAndLog } from '../invocation/base.ts'
import { readPlaces } from '../invocation/env.ts'
import { ownerIn, readSecrets } from '../invocation/secrets.ts'

const { log } = openClockAndLog()
const places = readPlaces([
  'GALLEY_OWNER_SECRET_ARN',
  'GALLEY_DATABASE_SECRET_ARN',
  'GALLEY_DATABASE_HOST',
])

/** Answers what it applied. Called again, and by two at once, it applies what is missing once. */
export const handler = (_event: unknown, invocation: Invocation) =>
  invoked({ log }, 'migrate', invocation, async () => {
    // Read at each call: RDS changes the owner's password by itself.
    const { owned, appPassword } = await readSecrets({
      owned: places.GALLEY_OWNER_SECRET_ARN,
      appPassword: places.GALLEY_DATABASE_SECRET_ARN,
    })
    const migrationsFolder = join(import.meta.dirname, 'migrations')
    const adminUrl = databaseUrl(places.GALLEY_DATABASE_HOST, ownerIn(owned))
    const report = await migrate({ adminUrl, appPassword, migrationsFolder })
    log.info('functions.migrated', report)
    return report
  })
