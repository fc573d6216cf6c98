/** The control database: PostgreSQL by `pg` and drizzle, the same code embedded and in the cloud. */
import { setTimeout as sleep } from 'node:timers/promises'
import { DrizzleQueryError, sql } from 'drizzle-orm'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import type { Database, Log, Tx } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { TenantId } from '#schemas/ids.ts'

const CONNECT_TIMEOUT_MS = 5_000
const STATEMENT_TIMEOUT_MS = 30_000
const IDLE_IN_TRANSACTION_MS_MAX = 60_000
const CONNECTIONS_MAX = 10
const RETRIES_MAX = 5
/** A connection is not used for longer: after a fail-over it may lead to what is no longer the primary. */
const CONNECTION_S_MAX = 300
/** For what was lost while a server was replaced by its standby, or started again. */
const RECONNECT_MS_FIRST = 50
const RECONNECT_MS_MAX = 2_000
/** Serialization failure, deadlock: the transaction did nothing and may simply run again. */
const RETRYABLE_STATES = new Set(['40001', '40P01'])
/** The server ended a session that idled: that of an invocation which was frozen for a while. */
const IDLED = '57P05'
/** The server is going down, starting, or out of connections; nothing was committed. */
const UNAVAILABLE_STATES = new Set([
  ...['57P01', '57P02', '57P03', '53300', '08006', '08001', '08003'],
  IDLED,
  // A standby: the server was the primary, or is about to be.
  '25006',
])
/** The server's certificate, or its lack of one, is not what the URL asks for. */
const TLS_FAULT =
  /SELF_SIGNED|UNABLE_TO_|CERT_|ERR_TLS|does not support SSL|certificate|no pg_hba.conf entry.*no encryption/i

const WRONG_PASSWORD = '28P01'
const DISK_FULL_STATE = '53100'
/** A text with U+0000, which JSON and paths can carry and PostgreSQL cannot. */
const UNSTORABLE_STATES = new Set(['22021', '22P05'])
const STATEMENT_TIMEOUT_STATE = '57014'

export type OpenDatabase = Database & { pool: pg.Pool; close(): Promise<void> }

/** Opens a pool as the application's role. Throws `unavailable` from calls while there is no server. */
export function openDatabase(config: {
  url: string
  log: Log
  connectionsMax?: number
  /** The URL with the password of now: asked for when the server refuses the one that is known. */
  renewUrl?: () => Promise<string>
}): OpenDatabase {
  let { url } = config
  const pool = new pg.Pool({
    ...connectionOf(url),
    max: config.connectionsMax ?? CONNECTIONS_MAX,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    // A holder that is cut off in the middle must not keep its locks.
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS_MAX,
    keepAlive: true,
    maxLifetimeSeconds: CONNECTION_S_MAX,
    application_name: 'galley',
  })
  // Idle connections report the server's end here; without a listener the process would end too.
  pool.on('error', error => {
    if (stateOf(error) === IDLED) return
    config.log.error('db.connection_lost', { error: String(error) })
  })
  // Those in use as well; who uses one hears it from its query.
  pool.on('connect', client => client.on('error', () => {}))
  const sessions = new WeakMap<pg.PoolClient, NodePgDatabase>()

  /** Over a connection of our own: drizzle's would keep one for ever that was lost before it began. */
  async function onConnection<T>(work: (db: NodePgDatabase) => Promise<T>): Promise<T> {
    const client = await pool.connect()
    let isLost = false
    try {
      const session = sessions.get(client) ?? drizzle({ client })
      sessions.set(client, session)
      return await work(session)
    } catch (error) {
      isLost = isLostServer(error)
      throw error
    } finally {
      client.release(isLost)
    }
  }

  /** True when there is another URL to try than this one; connections that are open stay. */
  async function isRenewed(tried: string): Promise<boolean> {
    // Another transaction may have asked meanwhile.
    if (url !== tried) return true
    const now = (await config.renewUrl?.()) ?? tried
    if (now === tried) return false
    url = now
    Object.assign(pool.options, connectionOf(now))
    config.log.info('db.password_renewed', {})
    return true
  }

  async function transaction<T>(begin: ReturnType<typeof sql>, work: (tx: Tx) => Promise<T>) {
    const giveUpAt = performance.now() + RECONNECT_MS_MAX
    for (let attempt = 1; ; attempt++) {
      const tried = url
      let isDone = false
      try {
        const run = async (tx: Tx) => {
          await tx.execute(begin)
          const result = await work(tx)
          isDone = true
          return result
        }
        return await onConnection(db => db.transaction(run))
      } catch (error) {
        const state = stateOf(error)
        if (state && RETRYABLE_STATES.has(state) && attempt < RETRIES_MAX) continue
        if (state === WRONG_PASSWORD && attempt < RETRIES_MAX && (await isRenewed(tried))) continue
        const told = translate(withoutValues(error))
        // Before the commit was asked for nothing can have been stored. After it nobody knows.
        const mayRunAgain = !isDone && isLostServer(error)
        const pauseMs = Math.random() * RECONNECT_MS_FIRST * 2 ** attempt
        if (!mayRunAgain || performance.now() + pauseMs > giveUpAt) throw told
        await sleep(pauseMs)
      }
    }
  }

  return {
    pool,
    tenant: (tenantId: TenantId, work) =>
      transaction(sql`select set_config('galley.tenant', ${tenantId}, true)`, work),
    system: work => transaction(sql`set local role galley_system`, work),
    close: () => pool.end(),
  }
}

/**
 * `pg` configuration of a URL. A `host` parameter that is a folder means the server's Unix socket:
 * `postgres://galley_app@localhost/galley?host=/proc/self/cwd/postgres`.
 */
export function connectionOf(url: string): pg.PoolConfig {
  const parsed = new URL(url)
  const folder = parsed.searchParams.get('host')
  if (!folder) return { connectionString: url }
  return {
    host: folder,
    user: decodeURIComponent(parsed.username),
    password: decodeURIComponent(parsed.password) || undefined,
    database: parsed.pathname.slice(1),
    port: Number(parsed.port || 5432),
  }
}

/** What failed, without the values that it was asked with: they are a tenant's data, and errors are logged. */
function withoutValues(error: unknown): unknown {
  if (!(error instanceof DrizzleQueryError)) return error
  const bare = new Error(`Failed query: ${error.query}`, { cause: error.cause })
  bare.stack = error.stack?.replace(error.message, () => bare.message)
  return bare
}

function stateOf(error: unknown): string | undefined {
  const cause = error instanceof Error && error.cause ? error.cause : error
  return (cause as { code?: string }).code
}

/** What the work says of another place is none of the server's: neither its connection nor it may be blamed. */
function isLostServer(error: unknown): boolean {
  if (error instanceof AppError) return false
  const told = translate(error)
  return told instanceof AppError && told.code === 'unavailable'
}

function translate(error: unknown): unknown {
  if (error instanceof AppError) return error
  const state = stateOf(error)
  const message = String(error instanceof Error && error.cause ? error.cause : error)
  if (state === DISK_FULL_STATE) {
    return new AppError('insufficient_storage', { internal: message, cause: error })
  }
  if (state && UNSTORABLE_STATES.has(state)) {
    const text = 'A text in the request holds U+0000, which cannot be stored.'
    return new AppError('invalid_request', { public: text, internal: message, cause: error })
  }
  if (state === STATEMENT_TIMEOUT_STATE) {
    return new AppError('deadline_exceeded', {
      public: `The database took longer than ${STATEMENT_TIMEOUT_MS / 1000} s; ask for less at once.`,
      internal: message,
      retryable: true,
      cause: error,
    })
  }
  if (TLS_FAULT.test(`${state} ${message}`)) {
    const internal = `${message}: the database must be reached over TLS with a certificate for its host that a trusted CA vouches for; sslrootcert=<file> in the database's URL, or NODE_EXTRA_CA_CERTS, names another CA`
    return new AppError('internal', { internal, cause: error })
  }
  const lost =
    (state && (UNAVAILABLE_STATES.has(state) || /^E[A-Z]+$/.test(state))) ||
    /Connection terminated|timeout exceeded when trying to connect|Client has encountered/.test(
      message,
    )
  if (!lost) return error
  return new AppError('unavailable', {
    public: 'The control database does not answer; try again in a moment.',
    internal: message,
    retryable: true,
    retryAfterS: 1,
    cause: error,
  })
}
