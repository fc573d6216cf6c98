/** The flags of `npm start`. */
import { isAbsolute, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { AppError } from '#core/error.ts'

export type Edge = 'node' | 'workerd'
export type QueueEngine = 'postgres' | 'sqs'
export type BlobEngine = 'folder' | 's3'
export type Flags = {
  host: string
  /** 0: any free one. */
  port: number
  /** Of gRPC; 0: any free one, undefined: the one after `port`, or else any free one. */
  grpcPort: number | undefined
  /** Absolute. */
  dataFolder: string
  databaseUrl: string | undefined
  edge: Edge
  queue: QueueEngine
  blob: BlobEngine
  /** Runners side by side; a request that one of them was lost with goes to another. */
  runners: number
  /** Up to so many, as there is work; undefined: always as many. */
  runnersMax: number | undefined
  bare: boolean
  help: boolean
}

export const HELP = `Starts Galley on this machine.

  npm start -- [flags]

  --port <number>        port of the public API; 0 takes a free one    (4500)
  --grpc-port <number>   port of gRPC; 0 takes a free one              (the one after --port)
  --host <address>       address it listens on                         (127.0.0.1)
  --data <folder>        where everything is kept                      (.galley)
  --database-url <url>   a PostgreSQL server instead of the embedded one
  --edge node|workerd    what runs the edge                            (node)
  --queue postgres|sqs   where queues are; sqs takes their URLs from GALLEY_QUEUE_*  (postgres)
  --blob folder|s3       where blobs are; s3 takes the bucket from GALLEY_BUCKET     (folder)
  --runners <number>     how many runners share the work               (1)
                         0..8: as many as there is work for; where none runs, a request waits until one is up
  --bare                 without a first tenant, key and model
  --help
`

const EDGES = ['node', 'workerd'] as const
const QUEUE_ENGINES = ['postgres', 'sqs'] as const
const BLOB_ENGINES = ['folder', 's3'] as const
/** More than any one machine has cores for. */
const RUNNERS_MAX = 64

/** Parses the command line. Throws `invalid_request` with what would be right. */
export function parseFlags(args: string[], cwd: string): Flags {
  const { values } = parse(args)
  return {
    host: values.host,
    port: portOf('--port', values.port),
    grpcPort:
      values['grpc-port'] === undefined ? undefined : portOf('--grpc-port', values['grpc-port']),
    dataFolder: isAbsolute(values.data) ? values.data : resolve(cwd, values.data),
    databaseUrl: values['database-url'] === undefined ? undefined : urlOf(values['database-url']),
    edge: oneOf('--edge', EDGES, values.edge),
    queue: oneOf('--queue', QUEUE_ENGINES, values.queue),
    blob: oneOf('--blob', BLOB_ENGINES, values.blob),
    ...runnersOf(values.runners),
    bare: values.bare,
    help: values.help,
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        port: { type: 'string', default: '4500' },
        'grpc-port': { type: 'string' },
        host: { type: 'string', default: '127.0.0.1' },
        data: { type: 'string', default: '.galley' },
        'database-url': { type: 'string' },
        edge: { type: 'string', default: 'node' },
        queue: { type: 'string', default: 'postgres' },
        blob: { type: 'string', default: 'folder' },
        runners: { type: 'string', default: '1' },
        bare: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (cause) {
    const reason = (cause as Error).message.split('. ')[0]
    // npm keeps a flag that comes before "--" for itself, and hands on its value alone.
    const lost = reason?.startsWith('Unexpected argument')
      ? ' Flags come after "--": npm start -- --port 4501.'
      : ''
    throw refused(
      `${reason}: the flags are --port --grpc-port --host --data --database-url --edge --queue --blob --runners --bare --help.${lost}`,
    )
  }
}

function portOf(flag: string, text: string): number {
  const port = Number(text)
  if (text !== '' && Number.isInteger(port) && port >= 0 && port <= 65535) return port
  throw refused(`${flag} is a number from 0 to 65535, not "${text}".`)
}

function runnersOf(text: string): Pick<Flags, 'runners' | 'runnersMax'> {
  const [, least, most] = /^([0-9]+)(?:\.\.([0-9]+))?$/.exec(text) ?? []
  const runners = Number(least)
  if (most === undefined && runners >= 1 && runners <= RUNNERS_MAX) {
    return { runners, runnersMax: undefined }
  }
  const runnersMax = Number(most)
  if (runners < runnersMax && runnersMax <= RUNNERS_MAX) return { runners, runnersMax }
  throw refused(
    `--runners is a number from 1 to ${RUNNERS_MAX}, or two of them with the least first, from 0, as in 0..8; not "${text}".`,
  )
}

function oneOf<T extends string>(flag: string, names: readonly T[], text: string): T {
  const found = names.find(name => name === text)
  if (found) return found
  throw refused(`${flag} is ${names.join(' or ')}, not "${text}".`)
}

function urlOf(text: string): string {
  const protocol = URL.canParse(text) ? new URL(text).protocol : ''
  if (['postgres:', 'postgresql:'].includes(protocol)) return text
  throw refused('--database-url has the form postgres://user:password@host:5432/database.')
}

function refused(text: string): AppError {
  return new AppError('invalid_request', { public: text })
}
