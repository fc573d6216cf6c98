/**
 * `npm run operator -- <command>`: what whoever deploys does with the deployment's secret, which comes on
 * standard input, so that it stands in no history: the keys of places, and the first tenant.
 */
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { AppError } from '#core/error.ts'
import {
  openSigner,
  PLACES,
  type Place,
  placeKey,
  sha256Hex,
  TOKEN_HEADER,
} from '#core/internal/signing.ts'
import { mint } from '#core/tenants/tenants.ts'
import { newId } from '#schemas/ids.ts'

const SECRET_CHARS_MIN = 32
const HELP = `The deployment's secret on standard input, then:

  npm run operator -- key <place>                    the signing key of a place: ${PLACES.join(', ')}
  npm run operator -- first <URL of the functions>   makes the first tenant, and prints its API key once
`

const [command = '', argument = ''] = parseArgs({ allowPositionals: true }).positionals
try {
  if (command === 'key') await printKey(argument)
  else if (command === 'first') await makeFirst(argument)
  else process.stderr.write(HELP)
  process.exitCode = command === 'key' || command === 'first' ? 0 : 2
} catch (error) {
  process.stderr.write(`${error instanceof AppError ? error.public : String(error)}\n`)
  process.exitCode = 1
}

async function printKey(place: string): Promise<void> {
  if (!(PLACES as readonly string[]).includes(place)) {
    refuse(`There is no place "${place}"; it is one of ${PLACES.join(', ')}.`)
  }
  process.stdout.write(await placeKey(await readSecret(), place as Place))
}

/** A key that was printed and lost is replaced by running it again, which makes another tenant. */
async function makeFirst(url: string): Promise<void> {
  if (!URL.canParse(url))
    refuse(`"${url}" is no URL; name the functions, as https://functions.galley.example.`)
  const signer = await openSigner('supervisor', await placeKey(await readSecret(), 'supervisor'))
  const { key, publicId, hash } = await mint()
  const path = '/internal/first'
  const named = { tenantId: newId('tenant'), keyId: newId('key'), name: 'operator', publicId, hash }
  const body = JSON.stringify(named)
  const claims = { call: null, method: 'POST', path, body: await sha256Hex(body) }
  const token = await signer.sign(claims, Date.now())
  const headers = { [TOKEN_HEADER]: token, 'content-type': 'application/json' }
  const reply = await fetch(new URL(path, url), { method: 'POST', headers, body })
  if (!reply.ok) {
    refuse(`${url} answered ${reply.status}: ${(await reply.text()).slice(0, 300)}`)
  }
  process.stdout.write(`${key}\n`)
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
