/** Several isolates of the edge over one control API: what each holds in memory, and what it must not. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { eq } from 'drizzle-orm'
import { afterAll, beforeEach, expect, test } from 'vitest'
import type { Objects } from '#core/deps.ts'
import { HeldBytes } from '#core/held-bytes.ts'
import { openSigner, openVerifier, placeKey } from '#core/internal/signing.ts'
import * as models from '#core/models/models.ts'
import { TenantRates } from '#core/tenants/rate-object.ts'
import * as tenants from '#core/tenants/tenants.ts'
import { createApp } from '#edge/app.ts'
import type { EdgeDeps } from '#edge/deps.ts'
import { boundedHttp } from '#edge/middleware/bounded-http.ts'
import { EDGE_ENGINES } from '#edge/middleware/engines.ts'
import { webHttp } from '#edge/web-http.ts'
import { createApi } from '#functions/api.ts'
import type { FunctionsDeps } from '#functions/deps.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { Registry } from '#platform/metrics/registry.ts'
import { newId, type TenantId } from '#schemas/ids.ts'
import { PLANS } from '#schemas/plans.ts'
import { files, modelVersions } from '#schemas/tables/models.ts'
import { callOf, handClock, inTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db } = await testDatabase()
const clock = handClock(Date.now())
const log = { info() {}, error() {} }
const edgeKey = await placeKey('a secret of the test alone, long enough', 'edge')
const signer = await openSigner('edge', edgeKey)
const api = createApi({
  db,
  clock,
  log,
  verifier: await openVerifier({ edge: edgeKey }),
  contexts: new Map(),
  suppliedClasses: [],
  promised() {},
} as unknown as FunctionsDeps)

let asked: string[] = []
/** What the functions are answering at this moment. */
const underWay: string[] = []
let gate: Promise<unknown> | null = null
let isAway = false
const functions = {
  async fetch(request: Request) {
    if (isAway) throw new Error('nobody listens')
    const { pathname } = new URL(request.url)
    asked.push(pathname)
    underWay.push(pathname)
    const reply = await api(request).finally(() => underWay.splice(underWay.indexOf(pathname), 1))
    if (pathname === '/internal/keys') await gate
    return reply
  },
}
beforeEach(() => {
  asked = []
  gate = null
  isAway = false
})

const rates = new Map<string, TenantRates>()
const objects: Objects = {
  tenant: id => ({
    async leaseRate(input) {
      if (!rates.has(id)) rates.set(id, new TenantRates(sqlOf(), clock))
      return rates.get(id)!.leaseRate(input)
    },
  }),
}
function sqlOf() {
  const sqlite = new DatabaseSync(':memory:')
  return {
    exec: <Row>(query: string, ...values: (string | number | null)[]) =>
      sqlite.prepare(query).all(...values) as Row[],
  }
}

const renewals: Promise<unknown>[] = []
const root = mkdtempSync(join(tmpdir(), 'galley-edge-'))
afterAll(() => rmSync(root, { recursive: true }))
const blobs = folderBlobs({ root })
function isolate() {
  const background = (work: Promise<unknown>) => void renewals.push(work.catch(() => {}))
  const router = { load: async () => ({ runners: 1 }) }
  const metrics = { registry: new Registry() }
  const deps = {
    metrics,
    router,
    functions,
    objects,
    blobs,
    signer,
    clock,
    log,
    http: boundedHttp(
      webHttp,
      EDGE_ENGINES.workers,
      new HeldBytes(EDGE_ENGINES.workers.heldBytesMax),
    ),
    background,
  }
  const app = createApp(deps as unknown as EdgeDeps)
  return async (method: string, path: string, authorization: string, body?: object) => {
    const headers = { authorization, 'content-type': 'application/json' }
    const init = { method, headers, body: body && JSON.stringify(body) }
    const reply = await app.fetch(new Request(`http://edge${path}`, init))
    const requestId = reply.headers.get('galley-request-id')
    return { status: reply.status, requestId, body: (await reply.json()) as Record<string, never> }
  }
}

async function newKey() {
  const { key, publicId, hash } = await tenants.mint()
  const first = {
    tenantId: newId('tenant'),
    keyId: newId('key'),
    name: 'of a test',
    publicId,
    hash,
  }
  await db.tenant(first.tenantId, tx => tenants.createFirst({ tx, clock }, first))
  return { ...first, bearer: `Bearer ${key}` }
}
const created = async (ask: ReturnType<typeof isolate>, bearer: string) => {
  const reply = await ask('POST', '/v1/keys', bearer, { name: 'n', scopes: ['keys:read'] })
  expect(reply.status).toBe(201)
  return reply.body as unknown as { id: string; key: string }
}

test('a key revoked through one isolate is refused by another that has been quiet since it knew it', async () => {
  const [here, there] = [isolate(), isolate()]
  const { bearer } = await newKey()
  const { id, key } = await created(here, bearer)
  const whoami = () => there('GET', '/v1/whoami', `Bearer ${key}`)
  expect((await whoami()).status).toBe(200)
  for (const quietS of [11, 29, 45, 59]) {
    clock.forward(quietS * 1000)
    expect((await whoami()).status).toBe(200)
  }
  // What is renewed by now is from before the revocation.
  await Promise.all(renewals)
  clock.forward(20_000)
  expect((await here('DELETE', `/v1/keys/${id}`, bearer)).status).toBe(200)
  clock.forward(10_001)
  expect((await whoami()).status).toBe(401)
})

test('what one tenant changes costs no other tenant a look-up', async () => {
  const ask = isolate()
  const [busy, calm] = [await newKey(), await newKey()]
  await ask('GET', '/v1/whoami', busy.bearer)
  let open = () => {}
  gate = new Promise<void>(resolve => {
    open = resolve
  })
  const first = ask('GET', '/v1/whoami', calm.bearer)
  await created(ask, busy.bearer)
  open()
  expect((await first).status).toBe(200)
  asked = []
  expect((await ask('GET', '/v1/whoami', calm.bearer)).status).toBe(200)
  expect(asked).not.toContain('/internal/keys')
})

test('uploads and jobs leave the keys that are held as they are', async () => {
  const ask = isolate()
  const { bearer } = await newKey()
  const body = { sha256: 'a'.repeat(64), size: 1 }
  expect((await ask('POST', '/v1/uploads', bearer, body)).status).toBe(201)
  asked = []
  expect((await ask('POST', '/v1/uploads', bearer, body)).status).toBe(201)
  expect(asked).toEqual(['/v1/uploads'])
})

test('one key takes a handful of places among those held, however its header is written', async () => {
  const ask = isolate()
  const { bearer } = await newKey()
  const wide = bearer.replace(' ', ' '.repeat(3000))
  expect((await ask('GET', '/v1/whoami', wide)).status).toBe(401)
  expect((await ask('GET', '/v1/whoami', bearer.replace(' ', '  '))).status).toBe(200)
})

test('a flood of names that nothing has reaches the control API at a bounded rate', async () => {
  const ask = isolate()
  const { bearer } = await newKey()
  const { burst } = PLANS.standard!.lookup
  const statuses: number[] = []
  for (let n = 0; n < burst + 200; n++) {
    statuses.push((await ask('GET', `/v2/models/none-${n}`, bearer)).status)
  }
  expect(asked.filter(path => path === '/internal/models/resolve')).toHaveLength(burst)
  expect(statuses.slice(0, burst)).toEqual(Array(burst).fill(404))
  expect(statuses.slice(burst)).toEqual(Array(200).fill(429))
})

test('every reply to a caller names the request, whichever place gave it', async () => {
  const ask = isolate()
  const { bearer } = await newKey()
  const upload = await ask('POST', '/v1/uploads', bearer, { sha256: 'a'.repeat(64), size: 9 })
  const { id } = upload.body as unknown as { id: string }
  const part = await ask('PUT', `/v1/uploads/${id}/parts/1`, bearer, {})
  expect(part.status).toBe(200)
  const missing = await ask('GET', '/v2/models/none', bearer)
  for (const { requestId } of [upload, part, missing]) expect(requestId).toMatch(/^req_/)
})

/** A model with two ready versions, of which the first is the champion. */
async function newModel(tenantId: TenantId, name: string) {
  const call = callOf(tenantId)
  for (const sha256 of ['a', 'b'].map(letter => letter.repeat(64))) {
    await inTenant({ db, clock }, tenantId, async unit => {
      await unit.tx.insert(files).values({ tenantId, sha256, size: 1 }).onConflictDoNothing()
      const file = { path: 'm.onnx', sha256, size: 1 }
      const { version } = await models.publish({ ...unit, suppliedClasses: [] }, call, {
        model: name,
        files: [file],
      })
      const [row] = await unit.tx.select().from(modelVersions).where(eq(modelVersions.model, name))
      const signature = { inputs: [], outputs: [], batching: 'invariant' as const }
      await unit.tx.update(modelVersions).set({ state: 'ready', signature })
      if (version === 1 && row) {
        await models.aliases.setAlias(unit, call, { model: name, alias: 'champion', version })
      }
    })
  }
}
const servedBy = async (ask: ReturnType<typeof isolate>, bearer: string, name: string) =>
  (await ask('GET', `/v2/models/${name}`, bearer)).body.versions

test('a change of one model leaves what is known of the others of its tenant', async () => {
  const ask = isolate()
  const { bearer, tenantId } = await newKey()
  for (const name of ['one', 'two']) await newModel(tenantId, name)
  for (const name of ['one', 'two']) expect(await servedBy(ask, bearer, name)).toEqual(['1'])
  const body = { version: 2 }
  const path = '/v1/registry/models/one/aliases/champion'
  expect((await ask('PUT', path, bearer, body)).status).toBe(200)
  asked = []
  expect(await servedBy(ask, bearer, 'two')).toEqual(['1'])
  expect(asked).toEqual([])
  expect(await servedBy(ask, bearer, 'one')).toEqual(['2'])
})

test('a control API that is gone right after a change costs no request: what was known answers until it is back', async () => {
  const ask = isolate()
  const { bearer, tenantId } = await newKey()
  await newModel(tenantId, 'one')
  expect(await servedBy(ask, bearer, 'one')).toEqual(['1'])
  const path = '/v1/registry/models/one/aliases/champion'
  expect((await ask('PUT', path, bearer, { version: 2 })).status).toBe(200)
  isAway = true
  expect(await servedBy(ask, bearer, 'one')).toEqual(['1'])
  isAway = false
  expect(await servedBy(ask, bearer, 'one')).toEqual(['2'])
  isAway = true
  expect(await servedBy(ask, bearer, 'one')).toEqual(['2'])
})

const PUBLISHED = '/internal/models/published'

/** A version that no runner has looked at, with the function's patience for it at an end. */
async function publishing(name: string) {
  const { bearer, tenantId } = await newKey()
  const sha256 = 'c'.repeat(64)
  const set = (state: 'ready' | 'invalid', error: string | null = null) =>
    inTenant({ db, clock }, tenantId, unit =>
      unit.tx.update(modelVersions).set({ state, error }).where(eq(modelVersions.model, name)),
    )
  await inTenant({ db, clock }, tenantId, unit =>
    unit.tx.insert(files).values({ tenantId, sha256, size: 1 }),
  )
  const path = `/v1/registry/models/${name}/versions`
  asked = []
  const reply = isolate()('POST', path, bearer, { files: [{ path: 'm.onnx', sha256, size: 1 }] })
  await expect.poll(() => underWay).toContain(path)
  const isWaitedForHere = () => {
    clock.forward(1_000)
    return asked.includes(PUBLISHED)
  }
  await expect.poll(isWaitedForHere).toBe(true)
  expect(underWay).not.toContain(path)
  return { reply, set }
}

test('who publishes waits at the edge for what a runner says, and no function waits with him', async () => {
  const ready = await publishing('slow')
  await ready.set('ready')
  expect(await ready.reply).toMatchObject({
    status: 201,
    body: { model: 'slow', version: 1, state: 'ready' },
  })
  const wrong = await publishing('wrong')
  await wrong.set('invalid', 'It has a loop without an end.')
  const detail = 'It has a loop without an end. (version 1 of "wrong")'
  expect(await wrong.reply).toMatchObject({ status: 422, body: { code: 'invalid_model', detail } })
})

test('a version that nobody looks at is told as it is when the wait is over', async () => {
  const { reply } = await publishing('never')
  const isOver = async () => {
    clock.forward(60_000)
    return Promise.race([reply, null])
  }
  await expect.poll(isOver).toMatchObject({ status: 201, body: { state: 'validating' } })
})

test('a version that cannot be asked for any more is told as it is: it is published', async () => {
  const { reply } = await publishing('away')
  isAway = true
  expect(await reply).toMatchObject({ status: 201, body: { state: 'validating' } })
})

test('what a request held of its body is let go when it has been answered', async () => {
  const ask = isolate()
  const { bearer } = await newKey()
  const body = { name: 'x'.repeat(1_000_000), scopes: ['infer'] }
  const most = Math.ceil(EDGE_ENGINES.workers.heldBytesMax / 1_000_000)
  for (let i = 0; i <= most; i++) {
    clock.forward(1_000)
    expect((await ask('POST', '/v1/keys', bearer, body)).status).toBe(422)
  }
})
