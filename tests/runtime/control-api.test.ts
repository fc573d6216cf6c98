/** The control API behind the edge: what it takes from a signed request, and what it never believes. */
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Problem } from '#core/error.ts'
import {
  openSigner,
  openVerifier,
  placeKey,
  sha256Hex,
  TOKEN_HEADER,
  toBase64Url,
} from '#core/internal/signing.ts'
import { createApi } from '#functions/api.ts'
import type { FunctionsDeps } from '#functions/deps.ts'
import { SCOPES, type Scope } from '#schemas/route.ts'
import { callOf, newTenant, systemClock } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db, admin } = await testDatabase()
const edgeKey = await placeKey('a secret of the test alone, long enough', 'edge')
const signer = await openSigner('edge', edgeKey)
const lines: Record<string, unknown>[] = []
const keep = (event: string, fields?: object) => void lines.push({ event, ...fields })
const api = createApi({
  db,
  clock: systemClock,
  log: { info: keep, error: keep },
  verifier: await openVerifier({ edge: edgeKey }),
  contexts: new Map(),
  promised() {},
} as unknown as FunctionsDeps)
const { tenantId, keyId } = await newTenant(db)
beforeEach(() => void lines.splice(0))
afterEach(() => {
  // Whatever was sent, nothing of it was a fault of ours.
  expect(lines.filter(line => line.status === 500)).toEqual([])
})

type Asked = {
  body?: string | Uint8Array
  scopes?: readonly Scope[]
  seal?: string
  idempotencyKey?: string
}
async function ask(method: string, path: string, asked: Asked = {}) {
  const { scopes, seal = toBase64Url(new Uint8Array(32)), idempotencyKey } = asked
  const bytes = new TextEncoder().encode('')
  const body = typeof asked.body === 'string' ? new TextEncoder().encode(asked.body) : asked.body
  const call = callOf(tenantId, { keyId, scopes })
  const { pathname, search } = new URL(`http://functions${path}`)
  const target = pathname + search
  const hash = await sha256Hex(body ?? bytes)
  const claims = { call, method, path: target, body: hash, seal: seal || undefined }
  const headers = new Headers({ [TOKEN_HEADER]: await signer.sign(claims, systemClock.now()) })
  if (idempotencyKey) headers.set('idempotency-key', idempotencyKey)
  const init = { method, headers, body: body as Uint8Array<ArrayBuffer> | undefined }
  const reply = await api(new Request(`http://functions${target}`, init))
  return { status: reply.status, body: (await reply.json()) as Problem }
}

const SHA256 = 'a'.repeat(64)
const MANIFEST = JSON.stringify({ files: [{ path: 'm.onnx', sha256: SHA256, size: 10 }] })

test('a model or alias of a form that the contract does not take is refused, whoever asks', async () => {
  for (const name of ['Ümläut', 'a b', 'UPPER', 'a'.repeat(64), '%00', '-', 'x%2Fy']) {
    const published = await ask('POST', `/v1/registry/models/${name}/versions`, { body: MANIFEST })
    expect([name, published.status]).toEqual([name, 400])
    const path = `/v1/registry/models/m/aliases/${name}`
    const pointed = await ask('PUT', path, { body: '{"version":1}' })
    expect([name, pointed.status]).toEqual([name, 400])
  }
  const numbered = await ask('PUT', '/v1/registry/models/m/aliases/3', { body: '{"version":1}' })
  expect(numbered.body).toMatchObject({ code: 'invalid_request', errors: [{ pointer: '/alias' }] })
  expect((await admin.query('select 1 from models')).rowCount).toBe(0)
})

test('texts that cannot be stored are the caller’s mistake and not a fault', async () => {
  const key = (more: object) => JSON.stringify({ name: 'n', scopes: ['infer'], ...more })
  const bodies = [
    key({ name: 'a\0b' }),
    key({ project: '\ud800' }),
    key({ tags: { team: '\udc00x' } }),
    key({ tags: { 'a\0': 'x' } }),
  ]
  for (const body of bodies) {
    expect(await ask('POST', '/v1/keys', { body })).toMatchObject({
      status: 422,
      body: { code: 'invalid_body' },
    })
  }
  const latin1 = Uint8Array.from(Buffer.from('{"name":"\xe9","scopes":["infer"]}', 'latin1'))
  expect((await ask('POST', '/v1/keys', { body: latin1 })).status).toBe(400)
  expect((await ask('GET', '/v1/registry/models/a%00b')).status).toBe(400)
  expect((await ask('GET', '/v1/registry/models/m/versions/%00')).status).toBe(400)
})

test('a time that the database cannot hold is refused, the outermost that it can are not', async () => {
  const from = (text: string) => ask('GET', `/v1/usage?from=${encodeURIComponent(text)}`)
  for (const text of ['0000-12-31T00:00:00Z', '9999-12-31T23:59:59-14:00', 'yesterday', '2026']) {
    expect([text, (await from(text)).status]).toEqual([text, 400])
  }
  for (const text of ['0001-01-01T00:00:00Z', '9999-12-31T23:59:59Z', '2026-05-01T00:00:00+02:00'])
    expect([text, (await from(text)).status]).toEqual([text, 200])
})

test('usage is grouped by each group once, however often it is named', async () => {
  expect((await ask('GET', '/v1/usage?group_by=model,model,day')).status).toBe(200)
})

test('no query of any text is a fault', async () => {
  const name = fc.constantFrom('limit', 'cursor', 'from', 'to', 'group_by', 'x')
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('keys', 'jobs', 'audit', 'receipts', 'usage', 'tenants', 'registry/models'),
      fc.array(fc.tuple(name, fc.string({ unit: 'binary', maxLength: 20 })), { maxLength: 3 }),
      async (listing, pairs) => {
        const query = new URLSearchParams(pairs)
        const { status } = await ask('GET', `/v1/${listing}?${query}`)
        expect([200, 400]).toContain(status)
      },
    ),
    { numRuns: 150 },
  )
})

test('a scope is asked for here too: the edge may have judged another path', async () => {
  const without = (scope: Scope) => SCOPES.filter(one => one !== scope)
  const body = JSON.stringify({ name: 'n', scopes: ['infer'] })
  const refused = await ask('POST', '/v1/keys', { body, scopes: without('keys:write') })
  expect(refused).toMatchObject({ status: 403, body: { code: 'insufficient_scope' } })
  expect((await ask('GET', '/v1/jobs', { scopes: without('jobs:read') })).status).toBe(403)
  expect((await ask('GET', '/v1/whoami', { scopes: [] })).status).toBe(200)
})

test('each request leaves one line that says whose it was', async () => {
  await ask('GET', '/v1/keys')
  expect(lines).toEqual([
    expect.objectContaining({
      event: 'functions.request',
      route: 'keys.list',
      status: 200,
      tenant: tenantId,
      key: keyId,
      request_id: expect.stringMatching(/^req_/),
    }),
  ])
})

test('a reply with a secret is never stored unsealed', async () => {
  const body = JSON.stringify({ name: 'unsealed', scopes: ['infer'] })
  expect((await ask('POST', '/v1/keys', { body, seal: '', idempotencyKey: 'k' })).status).toBe(500)
  expect((await admin.query(`select 1 from api_keys where name = 'unsealed'`)).rowCount).toBe(0)
  lines.splice(0)
})
