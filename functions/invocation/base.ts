/** What a function opens as it starts, and how each invocation ends: nothing is left to do when it is frozen. */
import { AppError, inFull } from '#core/error.ts'
import { openDatabase } from '#platform/db/postgres.ts'
import { openLog } from '#platform/log.ts'
import { CONNECTIONS } from '#schemas/cloud/connections.ts'
import type { FunctionName } from '#schemas/cloud/functions.ts'
import type { SCHEDULES } from '#schemas/schedules.ts'
import { readPlaces, readTraces } from './env.ts'
import { readSecrets } from './secrets.ts'
import { type InvocationTraces, openTraces } from './traces.ts'

const APP_ROLE = 'galley_app'
/** As on one machine: all keys of the deployment derive from it. */
const SECRET_CHARS_MIN = 32
/** What Lambda tells of an invocation, as far as we use it. */
export type Invocation = { awsRequestId: string; getRemainingTimeInMillis(): number }

export type Base = Awaited<ReturnType<typeof openBase>>

/** The database as the application's role, the deployment's secret, and the tracer. */
export async function openBase(name: FunctionName) {
  const { clock, log } = openClockAndLog()
  const places = readPlaces([
    'GALLEY_DEPLOYMENT_SECRET_ARN',
    'GALLEY_DATABASE_SECRET_ARN',
    'GALLEY_DATABASE_HOST',
  ])
  const { headersArn, settingsWith, environment } = readTraces()
  const { secret, password, headers } = await readSecrets({
    secret: places.GALLEY_DEPLOYMENT_SECRET_ARN,
    password: places.GALLEY_DATABASE_SECRET_ARN,
    headers: headersArn,
  })
  if (secret.length < SECRET_CHARS_MIN) {
    throw new Error(
      `The secret ${places.GALLEY_DEPLOYMENT_SECRET_ARN} has ${secret.length} characters, and needs at least ${SECRET_CHARS_MIN}.`,
    )
  }
  const urlWith = (password: string) =>
    databaseUrl(places.GALLEY_DATABASE_HOST, { user: APP_ROLE, password })
  const db = openDatabase({
    url: urlWith(password),
    log,
    connectionsMax: CONNECTIONS[name],
    // It may be changed while this function goes on.
    async renewUrl() {
      const read = await readSecrets({ password: places.GALLEY_DATABASE_SECRET_ARN })
      return urlWith(read.password)
    },
  })
  const traces = openTraces({ clock, log }, settingsWith(headers), environment)
  return { clock, log, db, secret, traces, tracer: traces?.tracer ?? null }
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

/**
 * An invocation's work; when it has ended its lines are written and its spans are sent, because what runs later
 * may never run.
 */
export async function invoked<T>(
  { log, traces = null }: Pick<Base, 'log'> & { traces?: InvocationTraces | null },
  name: FunctionName,
  invocation: Invocation,
  work: () => Promise<T>,
): Promise<T> {
  traces?.begin(name, invocation)
  try {
    return await work()
  } catch (error) {
    log.error('functions.invocation_failed', { function: name, error: inFull(error) })
    throw error
  } finally {
    await traces?.end()
    log.flush()
  }
}

/** The same for what the clock calls, which is a trace of its own. */
export function called<T>(
  base: Base,
  name: keyof typeof SCHEDULES,
  invocation: Invocation,
  work: () => Promise<T>,
): Promise<T> {
  return invoked(base, name, invocation, async () => {
    const { tracer } = base
    const span = tracer?.begin(undefined)
    const is = { name, kind: 'internal' as const }
    const attributes = { 'faas.trigger': 'timer' }
    try {
      const done = await work()
      if (span) tracer!.end(span, { ...is, attributes })
      return done
    } catch (error) {
      const fault = error instanceof AppError ? error.code : 'internal'
      if (span)
        tracer!.end(span, { ...is, attributes: { ...attributes, 'error.type': fault }, fault })
      throw error
    }
  })
}
