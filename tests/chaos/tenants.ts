/** Who works: several tenants, each with keys of different projects, and the models that they ask. */
import { createHash, randomUUID } from 'node:crypto'
import { slow } from '../models.ts'
import type { Book, Key, Tenant } from './book.ts'
import type { Client, Json } from './client.ts'

/** Turns of the models' loop, about 5 µs each. */
const TINY_TURNS = [1, 2]
export const BULK_TURNS = 12_000

export const ONLINE_MODEL = 'tiny'
export const BULK_MODEL = 'slow'
export const ALIAS = 'live'

const NAMES = ['ant', 'bee', 'cat']
const PROJECTS = ['red', 'blue']
const SCOPES = ['infer', 'files:write', 'models:write', 'models:read', 'jobs:write', 'jobs:read']

/** Makes them through the public API. */
export async function makeTenants(client: Client, root: string, book: Book): Promise<Tenant[]> {
  return Promise.all(NAMES.map(name => makeTenant(client, root, book, name)))
}

async function makeTenant(client: Client, root: string, book: Book, name: string): Promise<Tenant> {
  const post = <T = Json>(key: string, path: string, body: unknown) =>
    client.insist<T>({
      key,
      method: 'POST',
      path,
      body,
      headers: { 'idempotency-key': randomUUID() },
    })
  const made = await post(root, '/v1/tenants', { name })
  const tenant: Tenant = { id: made.tenant.id, name, admin: made.key.key, keys: [] }
  for (const project of PROJECTS) {
    const tags = { team: name, colour: project }
    const issued = await post(tenant.admin, '/v1/keys', {
      name: project,
      scopes: SCOPES,
      project,
      tags,
    })
    tenant.keys.push({ tenant, id: issued.id, secret: issued.key, project, tags })
  }
  for (const turns of TINY_TURNS) await publish(client, book, tenant.keys[0]!, ONLINE_MODEL, turns)
  await publish(client, book, tenant.keys[0]!, BULK_MODEL, BULK_TURNS)
  const path = `/v1/registry/models/${ONLINE_MODEL}/aliases/${ALIAS}`
  await client.insist({ key: tenant.admin, method: 'PUT', path, body: { version: 1 } })
  const alias = { tenant, model: ONLINE_MODEL, alias: ALIAS, may: [1] }
  book.aliases.set(`${tenant.id} ${ONLINE_MODEL} ${ALIAS}`, alias)
  return tenant
}

/** Publishes y = |x| with a loop of so many turns and notes the version. */
export async function publish(
  client: Client,
  book: Book,
  key: Key,
  model: string,
  turns: number,
): Promise<void> {
  const bytes = slow(turns)
  const file = await upload(client, key.secret, bytes, 2)
  const path = `/v1/registry/models/${model}/versions`
  const body = { files: [{ path: 'model.onnx', sha256: file.sha256, size: file.size }] }
  const headers = { 'idempotency-key': randomUUID() }
  const until = performance.now() + client.patienceMs
  let version: Json
  do {
    if (performance.now() > until) throw new Error(`${model} with ${turns} turns is never judged`)
    version = await client.insist({ key: key.secret, method: 'POST', path, body, headers })
    // The wait for the verdict was over before the verdict came: asking again waits on.
  } while (version.state === 'validating')
  const { tenant } = key
  book.versions.push({ tenant, model, version: version.version, digest: version.digest })
}

/** Uploads bytes in so many parts. */
export async function upload(client: Client, key: string, bytes: Uint8Array, parts: number) {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const size = bytes.length
  const headers = { 'idempotency-key': randomUUID() }
  const body = { sha256, size }
  const begun = await client.insist({ key, method: 'POST', path: '/v1/uploads', body, headers })
  if (begun.state === 'open') {
    const each = Math.ceil(size / parts)
    for (let number = 1; (number - 1) * each < size; number++) {
      const part = bytes.subarray((number - 1) * each, number * each)
      const path = `/v1/uploads/${begun.id}/parts/${number}`
      await client.insist({ key, method: 'PUT', path, body: part })
    }
    const path = `/v1/uploads/${begun.id}/complete`
    await client.insist({ key, method: 'POST', path, body: {} })
  }
  return { id: begun.id as string, sha256, size }
}
