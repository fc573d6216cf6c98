/** The whole start with small places: `galley.ts <data folder> <port> <place>…`. Prints its pids. */
import { AppError } from '#core/error.ts'
import type { PlaceSpec } from '#local/children.ts'
import { startGalley } from '#local/galley.ts'

const [dataFolder, port, ...names] = process.argv.slice(2)
const places = names.map(
  (name): PlaceSpec => ({
    name,
    entry: 'tests/runtime/local/place.ts',
    after: ['migrations'],
    database: false,
    keys: [],
    env: { PLACE_NAME: name },
  }),
)
const flags = {
  host: '127.0.0.1',
  port: Number(port),
  dataFolder: dataFolder!,
  databaseUrl: undefined,
  edge: 'node' as const,
  queue: 'postgres' as const,
  blob: 'folder' as const,
  grpcPort: 0,
  runners: 1,
  runnersMax: undefined,
  bare: true,
  help: false,
}
const deps = { clock: { now: () => Date.now() }, places, migrate: async () => {} }

try {
  const galley = await startGalley(flags, deps, new AbortController().signal)
  process.on('SIGTERM', () => galley.stop().then(() => process.exit(0)))
  const tell = () =>
    process.stdout.write(`${JSON.stringify({ pid: process.pid, ...galley.pids() })}\n`)
  tell()
  setInterval(tell, 50)
} catch (error) {
  process.stderr.write(`${error instanceof AppError ? error.public : String(error)}\n`)
  process.exit(1)
}
