/**
 * `npm run operator -- <command>`: what whoever deploys does with the deployment's secret, which comes on
 * standard input, so that it stands in no history: the keys of places, the first tenant, dead messages, and how
 * many runners there are and why.
 */
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { AppError } from '#core/error.ts'
import { PLACES, type Place, placeKey } from '#core/internal/signing.ts'
import { mint } from '#core/tenants/tenants.ts'
import { remoteQueue } from '#platform/queue/remote.ts'
import { newId } from '#schemas/ids.ts'
import { QUEUES, type QueueName } from '#schemas/queues.ts'
import { capacityReport } from './capacity.ts'
import { askFunctions, type Deployment, localDeployment } from './functions.ts'
import { redriveAll } from './redrive.ts'

const SECRET_CHARS_MIN = 32
const QUEUE_NAMES = Object.keys(QUEUES).join(', ')
const HELP = `The deployment's secret on standard input, then:

  npm run operator -- key <place>                    the signing key of a place: ${PLACES.join(', ')}
  npm run operator -- first <URL of the functions>   makes the first tenant, and prints its API key once
  npm run operator -- redrive <queue> --functions <URL> [--max <number>] [--json]
                                                     sends dead messages back to their queue: ${QUEUE_NAMES}
  npm run operator -- capacity show|explain [class] --functions <URL> [--json]
                                                     how many runners there are to be; the last decisions, and why

Without --functions, redrive and capacity need no secret: they ask the Galley that runs on this machine, on --data (.galley).
`

try {
  process.exitCode = await run()
} catch (error) {
  process.stderr.write(`${error instanceof AppError ? error.public : String(error)}\n`)
  process.exitCode = 1
}

async function run(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      functions: { type: 'string' },
      data: { type: 'string', default: '.galley' },
      max: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const [command, argument = '', hardware] = positionals
  if (command === 'key') await printKey(argument)
  else if (command === 'first') await makeFirst(argument)
  else if (command === 'redrive') await redrive(argument, values)
  else if (command === 'capacity') await capacity(argument, hardware, values)
  else {
    process.stderr.write(HELP)
    return 2
  }
  return 0
}

async function printKey(place: string): Promise<void> {
  if (!(PLACES as readonly string[]).includes(place)) {
    refuse(`There is no place "${place}"; it is one of ${PLACES.join(', ')}.`)
  }
  process.stdout.write(await placeKey(await readSecret(), place as Place))
}

/** A key that was printed and lost is replaced by running it again, which makes another tenant. */
async function makeFirst(url: string): Promise<void> {
  const deployment = await deploymentAt(url)
  const { key, publicId, hash } = await mint()
  const named = { tenantId: newId('tenant'), keyId: newId('key'), name: 'operator', publicId, hash }
  await askFunctions(deployment, '/internal/first', named)
  process.stdout.write(`${key}\n`)
}

type Asked = {
  functions?: string | undefined
  data: string
  max?: string | undefined
  json: boolean
}

async function redrive(name: string, { functions, data, max, json }: Asked): Promise<void> {
  if (!Object.hasOwn(QUEUES, name)) {
    refuse(`There is no queue "${name}"; it is one of ${QUEUE_NAMES}.`)
  }
  if (max !== undefined && !/^[1-9]\d{0,8}$/.test(max)) {
    refuse(`--max is "${max}"; it must be a number of messages, 1 or more.`)
  }
  const deployment = await deploymentOf({ functions, data })
  const queue = remoteQueue({
    request: (operation, input) =>
      askFunctions(deployment, '/internal/queue', { operation, input }),
  })
  const report = await redriveAll(queue, name as QueueName, Number(max ?? Infinity))
  const said = `${report.sent} messages were sent back to ${name}; ${report.dead} are still dead.`
  process.stdout.write(`${json ? JSON.stringify(report) : said}\n`)
}

async function capacity(
  verb: string,
  hardware: string | undefined,
  { functions, data, json }: Asked,
): Promise<void> {
  if (verb !== 'show' && verb !== 'explain')
    refuse(`"capacity" takes "show" or "explain", and not "${verb}".`)
  const deployment = await deploymentOf({ functions, data })
  process.stdout.write(await capacityReport(deployment, { verb, hardware, isJson: json }))
}

async function deploymentOf({ functions, data }: Pick<Asked, 'functions' | 'data'>) {
  return functions === undefined ? localDeployment(data) : deploymentAt(functions)
}

async function deploymentAt(url: string): Promise<Deployment> {
  if (!URL.canParse(url))
    refuse(`"${url}" is no URL; name the functions, as https://functions.galley.example.`)
  return { url, secret: await readSecret() }
}

async function readSecret(): Promise<string> {
  const secret = (await text(process.stdin)).trim()
  if (secret.length >= SECRET_CHARS_MIN) return secret
  return refuse(
    `The secret on standard input has ${secret.length} characters, and needs at least ${SECRET_CHARS_MIN}.`,
  )
}

function refuse(says: string): never {
  throw new AppError('invalid_request', { public: says })
}
