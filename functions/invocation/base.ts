/** What a function opens as it starts, and how each invocation ends: nothing is left to do when it is frozen. */
import { inFull } from '#core/error.ts'
import { openDatabase } from '#platform/db/postgres.ts'
import { openLog } from '#platform/log.ts'
import { CONNECTIONS } from '#schemas/cloud/connections.ts'
import type { FunctionName } from '#schemas/cloud/functions.ts'
import { readPlaces } from './env.ts'
import { readSecrets } from './secrets.ts'

const APP_ROLE = 'galley_app'
/** As on one machine: all keys of the deployment derive from it. */
const SECRET_CHARS_MIN = 32
/** What Lambda tells of an invocation, as far as we use it. */
export type Invocation = { awsRequestId: string; getRemainingTimeInMillis(): number }

export type Base = Awaited<ReturnType<typeof openBase>>

/** The database as the application's role, and the deployment's secret. */
export async function openBase(name: FunctionName) {
  const { clock, log } = openClockAndLog()
  const places = readPlaces([
    'GALLEY_DEPLOYMENT_SECRET_ARN',
    'GALLEY_DATABASE_SECRET_ARN',
    'GALLEY_DATABASE_HOST',
  ])
  const { secret, password } = await readSecrets({
    secret: places.GALLEY_DEPLOYMENT_SECRET_ARN,
    password: places.GALLEY_DATABASE_SECRET_ARN,
  })
  if (secret.length < SECRET_CHARS_MIN) {
    throw new Error(
      `The secret ${places.GALLEY_DEPLOYMENT_SECRET_ARN} has ${secret.length} characters, and needs at least ${SECRET_CHARS_MIN}.`,
    )
  }
  const url = databaseUrl(places.GALLEY_DATABASE_HOST, { user: APP_ROLE, password })
  const db = openDatabase({ url, log, connectionsMax: CONNECTIONS[name] })
  return { clock, log, db, secret }
}

export function openClockAndLog() {
  const clock = { now: () => Date.now() }
  return { clock, log: openLog({ place: 'functions', clock }) }
}

/** Over TLS with a certificate that is checked; a folder is a server's socket on this machine. */
export function databaseUrl(host: string, role: { user: string; password: string }): string {
  const isFolder = host.startsWith('/')
  const url = new URL(`postgres://${isFolder ? 'localhost' : host}/galley`)
  url.username = role.user
  url.password = role.password
  if (isFolder) url.searchParams.set('host', host)
  else url.searchParams.set('sslmode', 'verify-full')
  return url.href
}

/** An invocation's work; when it has ended its lines are written, because what runs later may never run. */
export async function invoked<T>(
  { log }: Pick<Base, 'log'>,
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    log.error('functions.invocation_failed', { function: name, error: inFull(error) })
    throw error
  } finally {
    log.flush()
  }
}
