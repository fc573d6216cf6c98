/** `npm start`: everything on this machine, until Ctrl-C. */
import { Socket } from 'node:net'
import { isAbsolute, relative } from 'node:path'
import { AppError } from '#core/error.ts'
import { PLACES } from './children.ts'
import { isLaunched } from './env.ts'
import { firstRun } from './first-run.ts'
import { type Flags, HELP, parseFlags } from './flags.ts'
import { type Galley, type GalleyDeps, startGalley } from './galley.ts'

/** One Ctrl-C reaches us several times: from the terminal, from npm and from the launcher. */
const SAME_STOP_MS = 1000
const LAUNCHER_FD = 3

const cwd = process.cwd()
const clock = { now: () => Date.now() }
const interrupted = new AbortController()
let galley: Galley | undefined
let stoppedAt: number | undefined

process.stdout.on('error', () => {})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
if (isLaunched()) new Socket({ fd: LAUNCHER_FD }).on('error', stop).on('close', stop).resume()

try {
  const flags = parseFlags(process.argv.slice(2), cwd)
  if (flags.help) process.stdout.write(HELP, () => process.exit(0))
  else await start(flags)
} catch (error) {
  // A stop that is under way ends the process itself, unless it came before there was anything.
  if (stoppedAt === undefined) await fail(error)
  else if (!galley) process.exit(130)
}

async function start(flags: Flags): Promise<void> {
  // Loads while the database starts.
  const migrations = import('#platform/db/migrate.ts')
  const migrate: GalleyDeps['migrate'] = async config => {
    await (await migrations).migrate(config)
  }
  // A first start takes seconds: it makes a database.
  process.stdout.write(`Starting Galley, with data in ${placed(flags.dataFolder)} …\n`)
  galley = await startGalley(flags, { clock, places: PLACES, migrate }, interrupted.signal)
  const lines = [
    `Galley runs at ${galley.url} · gRPC at ${galley.grpc} · data in ${placed(flags.dataFolder)} · edge ${flags.edge}`,
    ...notice(flags),
  ]
  if (!flags.bare) {
    phase(galley, 'places')
    const { key, curl } = await firstRun(galley)
    lines.push('', `  URL  ${galley.url}`, `  key  ${key}`, '', curl)
  }
  const ms = phase(galley, 'all')
  process.stdout.write(`${[...lines, '', `ready in ${ms} ms`].join('\n')}\n`)
}

/** Notes in the log how long it took up to here, Node's own start included. */
function phase({ log }: Galley, name: string): number {
  const ms = Math.round(performance.now())
  log.info('phase', { name, ms })
  return ms
}

function notice({ host, dataFolder }: Flags): string[] {
  const logs = `logs in ${placed(dataFolder)}/log · Ctrl-C stops it`
  if (['127.0.0.1', 'localhost', '::1'].includes(host)) return [logs]
  return [logs, `${host} can be reached from other machines, without TLS: put a proxy in front.`]
}

/** A folder as short as it can be understood. */
function placed(folder: string): string {
  const path = relative(cwd, folder)
  return path.startsWith('..') || isAbsolute(path) ? folder : path || '.'
}

/** Drains; a second request, a while after the first, no longer waits. */
function stop(): void {
  const now = performance.now()
  if (stoppedAt === undefined) {
    stoppedAt = now
    interrupted.abort()
    process.stdout.write(
      'Stopping: what is running is finished first; Ctrl-C again does not wait.\n',
    )
    if (galley) endWith(galley.stop(), 0)
  } else if (now - stoppedAt > SAME_STOP_MS && galley) {
    endWith(galley.stop(0), 130)
  }
}

function endWith(stopped: Promise<void>, code: number): void {
  stopped.then(
    () => process.exit(code),
    () => process.exit(1),
  )
}

async function fail(error: unknown): Promise<void> {
  galley?.log.error('start failed', { error: error instanceof Error ? error.stack : String(error) })
  await galley?.stop()
  process.stderr.write(`${sentence(error)}\n`, () => process.exit(1))
}

function sentence(error: unknown): string {
  if (error instanceof AppError) return error.public
  return `Galley could not start: ${error instanceof Error ? error.message : String(error)}`
}
