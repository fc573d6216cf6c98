/**
 * Galley on one machine: the data folder, the database, the places, from the first to `up` and back.
 * What the places are is a parameter, so that tests run the same start with places of their own.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock, Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { placeKey } from '#core/internal/signing.ts'
import { entryPath, type PlaceSpec, placesFor, type SigningKey } from './children.ts'
import { inheritedEnv, ownClass } from './env.ts'
import type { Flags } from './flags.ts'
import { type DataFolder, openFolder } from './folder.ts'
import { type LogFile, logInto, openLogFile } from './logfile.ts'
import { startPlace } from './place.ts'
import { openRunners, type Sized } from './pool/runners.ts'
import { freePorts, grpcPort, publicPort } from './ports.ts'
import { DATABASE, SUPERUSER, socketFolder } from './postgres/address.ts'
import { startPostgres } from './postgres.ts'
import { reachStores, storesEnv } from './stores.ts'
import { clearStrays } from './strays.ts'
import { type ChildSpec, type StepSpec, supervise } from './supervisor.ts'

export type GalleyDeps = {
  clock: Clock
  places: PlaceSpec[]
  migrate(config: { adminUrl: string; appPassword: string }): Promise<void>
}
export type Galley = {
  url: string
  /** Host and port of gRPC. */
  grpc: string
  folder: DataFolder
  log: Log
  /** As the application's role. */
  databaseUrl: string
  /** Base64; signs requests between places. */
  signingKey: string
  ports: Ports
  pids(): Record<string, number>
  /** Drains and releases the folder. Called again with no grace, it hurries. */
  stop(graceMs?: number): Promise<void>
}
export type Ports = { functions: number; router: number; channel: number; grpc: number }

const ROTATE_EVERY_MS = 5000
/**
 * Of a tenant's 1,024 partitions. Over `node:sqlite` one object holds all: what arrives together is
 * synced together. Durable Objects run side by side, and cost a process's time each.
 */
const PARTITIONS_PER_OBJECT = { node: 1024, workerd: 64 }

/** Brings everything up. Throws an AppError whose public text is one sentence for the operator. */
export async function startGalley(
  flags: Flags,
  deps: GalleyDeps,
  signal: AbortSignal,
): Promise<Galley> {
  const folder = openFolder(flags.dataFolder, flags)
  const closing: (() => void)[] = [() => folder.lock.release()]
  const close = () => closing.splice(0).forEach(end => void end())
  try {
    // First: an edge of an earlier start may still hold the port.
    const killed = await clearStrays(folder.path)
    const port = await publicPort(flags.host, flags.port)
    const url = `http://${urlHost(flags.host)}:${port}`
    folder.lock.announce(url)
    // Sockets are named through the working directory, whose path may be of any length.
    process.chdir(folder.path)
    const logs = openLogs(folder.path, closing)
    const log = logInto(logs.open('supervisor'), deps.clock)
    if (killed.length > 0) log.info('places of an earlier start killed', { pids: killed })
    const [functions, router, channel] = await freePorts(3)
    const grpc = await grpcPort(flags.host, flags.grpcPort, port)
    const ports = { functions: functions!, router: router!, channel: channel!, grpc }
    const urls = databaseUrls(flags, folder)
    const env = placeEnv(flags, folder, port, ports)
    await reachStores(flags, env)
    const keys = await signingKeys(folder)
    const context: Context = { flags, deps, folder, log, logs, env, urls, keys }
    signal.throwIfAborted()
    const supervision = supervise(specs(context), { clock: deps.clock, log })
    let pool: Sized | undefined
    const stop = async (graceMs?: number) => {
      try {
        await pool?.stop(graceMs)
      } finally {
        await supervision.stop(graceMs).finally(close)
      }
    }
    const giveUp = () => void stop(0)
    signal.addEventListener('abort', giveUp)
    await supervision.up
      .then(() => signal.throwIfAborted())
      .catch(error => stop(0).then(() => Promise.reject(error)))
    signal.removeEventListener('abort', giveUp)
    // For whoever operates this machine; a start empties the folder.
    writeFileSync(join('run', 'functions.url'), `http://127.0.0.1:${ports.functions}`)
    const signingKey = folder.secrets.signing_key
    const childOf = (place: PlaceSpec) => placeSpec(place, context)
    const asking = { signingKey, functionsPort: ports.functions }
    pool = await openRunners(
      { clock: deps.clock, log, childOf, places: deps.places },
      flags,
      asking,
    )
    const pids = () => ({ ...supervision.pids(), ...pool?.pids() })
    return {
      url,
      grpc: `${urlHost(flags.host)}:${grpc}`,
      folder,
      log,
      databaseUrl: urls.app,
      signingKey,
      ports,
      pids,
      stop,
    }
  } catch (error) {
    close()
    throw error
  }
}

type Logs = { open(name: string): LogFile }
type Context = {
  flags: Flags
  deps: GalleyDeps
  folder: DataFolder
  log: Log
  logs: Logs
  env: Record<string, string>
  urls: { admin: string; app: string }
  keys: Record<SigningKey, string>
}

function specs(context: Context): (ChildSpec | StepSpec)[] {
  const { flags, deps, folder, urls } = context
  const migrations: StepSpec = {
    name: 'migrations',
    after: flags.databaseUrl ? [] : ['postgres'],
    run: () =>
      deps
        .migrate({ adminUrl: urls.admin, appPassword: folder.secrets.app_password })
        .catch(error => Promise.reject(notMigrated(error, flags))),
  }
  const places = placesFor(deps.places, flags)
  const database = flags.databaseUrl ? [] : [postgresSpec(context)]
  return [...database, migrations, ...places.map(place => placeSpec(place, context))]
}

function notMigrated(cause: unknown, { databaseUrl }: Flags): unknown {
  if (!databaseUrl) return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new AppError('unavailable', {
    public: `The database of --database-url cannot be used (${reason}): check that it runs, and that its user may create tables and roles.`,
    cause,
  })
}

function postgresSpec({ folder, log, logs }: Context): ChildSpec {
  const output = logs.open('postgres').fd
  return {
    name: 'postgres',
    start: signal => startPostgres({ dataFolder: folder.path, log, signal, output }),
  }
}

function placeSpec(place: PlaceSpec, { env, folder, logs, urls, keys }: Context): ChildSpec {
  const database: Record<string, string> = place.database ? { GALLEY_DATABASE_URL: urls.app } : {}
  const held = Object.fromEntries(place.keys.map(name => [name, keys[name]]))
  const options = {
    entry: entryPath(place),
    flags: place.flags,
    cwd: folder.path,
    env: { ...env, ...held, ...database, ...place.env },
    output: logs.open(place.name),
  }
  return { name: place.name, after: place.after, start: signal => startPlace(options, signal) }
}

/** The secrets that places sign with; each place holds no more of them than it must. */
async function signingKeys(folder: DataFolder): Promise<Record<SigningKey, string>> {
  const secret = folder.secrets.signing_key
  return {
    GALLEY_SECRET: secret,
    GALLEY_EDGE_KEY: await placeKey(secret, 'edge'),
    GALLEY_FUNCTIONS_KEY: await placeKey(secret, 'functions'),
    GALLEY_RUNNER_KEY: await placeKey(secret, 'runner'),
  }
}

/** What every place is told; each parses its own part of it in its `env.ts`. */
function placeEnv(flags: Flags, folder: DataFolder, port: number, ports: Ports) {
  const inherited = inheritedEnv()
  return {
    ...storesEnv(flags, inherited),
    // A pool is one more of those that can be supplied.
    ...(flags.runnersMax !== undefined && {
      GALLEY_RUNNER_CLASSES: [inherited.GALLEY_RUNNER_CLASSES, ownClass()].filter(Boolean).join(),
    }),
    GALLEY_DATA: folder.path,
    GALLEY_HOST: flags.host,
    GALLEY_PORT: String(port),
    GALLEY_GRPC_PORT: String(ports.grpc),
    GALLEY_EDGE: flags.edge,
    GALLEY_FUNCTIONS_PORT: String(ports.functions),
    GALLEY_OBJECTS_SOCKET: join('run', 'objects.sock'),
    // Durable Objects are reached through the Worker that holds them, the others where they are.
    ...(flags.edge === 'workerd' && { GALLEY_FEATURES_URL: `http://127.0.0.1:${port}` }),
    GALLEY_PARTITIONS_PER_OBJECT: String(PARTITIONS_PER_OBJECT[flags.edge]),
    GALLEY_ROUTER_PORT: String(ports.router),
    // A router of its own is reached as it would be from other machines.
    GALLEY_ROUTER:
      flags.edge === 'workerd' ? `127.0.0.1:${ports.channel}` : join('run', 'router.sock'),
  }
}

/** The same server twice: as its owner for the migrations, as the application for everything else. */
function databaseUrls(flags: Flags, folder: DataFolder): { admin: string; app: string } {
  const host = () => encodeURIComponent(socketFolder(folder.path))
  const admin = flags.databaseUrl ?? `postgres://${SUPERUSER}@localhost/${DATABASE}?host=${host()}`
  const app = new URL(admin)
  app.username = 'galley_app'
  app.password = folder.secrets.app_password
  return { admin, app: app.href }
}

function openLogs(path: string, closing: (() => void)[]): Logs {
  const open: LogFile[] = []
  const rotation = setInterval(() => {
    for (const file of open) file.rotate()
  }, ROTATE_EVERY_MS)
  closing.push(() => {
    clearInterval(rotation)
    for (const file of open) file.close()
  })
  return {
    open(name) {
      const file = openLogFile(join(path, 'log', `${name}.log`))
      open.push(file)
      return file
    },
  }
}

function urlHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost'
  return host.includes(':') ? `[${host}]` : host
}
