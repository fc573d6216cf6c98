/**
 * What a newcomer finds: a first tenant, its key, a small real model, and one proven prediction. Each
 * part is decided and stored before it is asked for, so a start that was killed half way goes on.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as z from 'zod'
import { AppError } from '#core/error.ts'
import { mint } from '#core/tenants/tenants.ts'
import { newId } from '#schemas/ids.ts'
import { Galley as Client, GalleyError } from '#sdk/client.ts'
import type { InferInput } from '#sdk/inference/infer.ts'
import type { Galley } from './galley.ts'
import { openAsking } from './pool/asking.ts'

export type FirstRun = {
  /** Shown again at every start. */
  key: string
  /** A command that works when pasted; later lines of it continue earlier ones by a backslash. */
  curl: string
}

const FIRST_FILE = 'first.json'
/** Where the command line finds a Galley that runs on this machine. */
const LOCAL_FILE = 'local.json'
const MODEL = 'iris'
const GRAPH = fileURLToPath(new URL('../examples/iris/iris.onnx', import.meta.url))
const FLOWER = {
  inputs: [{ name: 'measurements', shape: [1, 4], datatype: 'FP32', data: [5.1, 3.5, 1.4, 0.2] }],
} satisfies InferInput

const first = z.object({
  tenantId: z.string(),
  keyId: z.string(),
  name: z.string(),
  publicId: z.string(),
  hash: z.string(),
  key: z.string(),
})
type First = z.infer<typeof first>

/** Makes what is missing, then asks for one prediction through the public API. */
export async function firstRun(galley: Galley): Promise<FirstRun> {
  const decided = await decide()
  await createTenant(galley, decided)
  const { url } = galley
  const { key } = decided
  const client = new Client({ baseUrl: url, key })
  try {
    if (!(await isPublished(client))) {
      const { version } = await client.publish(MODEL, { 'iris.onnx': readFileSync(GRAPH) })
      const params = { model: MODEL, alias: 'champion' }
      await client.request('models.alias', { params, body: { version } })
    }
    await client.infer(MODEL, FLOWER)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new AppError('internal', {
      public: `The first prediction failed: ${why} The logs are in the data folder.`,
      cause,
    })
  }
  writeDurably(LOCAL_FILE, JSON.stringify({ url, grpc: galley.grpc, key }))
  return { key, curl: curlLine(url, key) }
}

async function isPublished(client: Client): Promise<boolean> {
  try {
    await client.request('models.version', { params: { model: MODEL, version: 'champion' } })
    return true
  } catch (error) {
    if (error instanceof GalleyError && error.status === 404) return false
    throw error
  }
}

/** Names and key of the first tenant: read, or made up and stored before anything is asked. */
async function decide(): Promise<First> {
  const text = readIfThere(FIRST_FILE)
  if (text !== null) return parsed(text)
  const { key, publicId, hash } = await mint()
  const made = {
    tenantId: newId('tenant'),
    keyId: newId('key'),
    name: 'local',
    publicId,
    hash,
    key,
  }
  writeDurably(FIRST_FILE, JSON.stringify(made))
  return made
}

function parsed(text: string): First {
  try {
    return first.parse(JSON.parse(text))
  } catch (cause) {
    throw new AppError('internal', {
      public: `${FIRST_FILE} in the data folder is damaged; restore it from a backup, or start with another --data folder.`,
      cause,
    })
  }
}

async function createTenant(galley: Galley, decided: First): Promise<void> {
  const ask = await openAsking(galley.signingKey, galley.ports.functions)
  const { key: _, ...named } = decided
  await ask('/internal/first', named)
}

function curlLine(url: string, key: string): string {
  return [
    `  curl -s ${url}/v2/models/${MODEL}/infer \\`,
    `    -H 'Authorization: Bearer ${key}' \\`,
    `    -d '${JSON.stringify(FLOWER)}'`,
  ].join('\n')
}

function readIfThere(name: string): string | null {
  try {
    return readFileSync(name, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** All of it or nothing, and on the disk: the data folder is the working directory. */
function writeDurably(name: string, text: string): void {
  const fd = openSync(`${name}.new`, 'w', 0o600)
  writeFileSync(fd, text)
  fsyncSync(fd)
  closeSync(fd)
  renameSync(`${name}.new`, name)
  const folder = openSync('.', 'r')
  fsyncSync(folder)
  closeSync(folder)
}
