/** Who may do what, for every route there is: generated from the table of routes, so none is forgotten. */
import { beforeAll, describe, expect, test } from 'vitest'
import { mint, TENANT_SCOPES } from '#core/tenants/tenants.ts'
import { ROUTES } from '#schemas/contracts/all.ts'
import { newId } from '#schemas/ids.ts'
import { type Route, SCOPES } from '#schemas/route.ts'
import { addSub } from '#tests/models.ts'
import {
  named,
  newTenant,
  ok,
  publish,
  sha256Of,
  startJob,
  type Tenant,
  upload,
} from './actions.ts'
import { api, product } from './product.ts'

const routes = (ROUTES as readonly Route[]).map(route => ({
  title: `${route.method} ${route.path}`,
  route,
}))
const guarded = routes.filter(({ route }) => !['public', 'signed'].includes(route.policy.scope))
const scoped = guarded.filter(({ route }) => route.policy.scope !== 'any')

let victim: Tenant
let spy: Tenant
/** Real ids and names of the victim, and others of the same form that never existed. */
let real: Record<string, string>
let never: Record<string, string>

beforeAll(async () => {
  victim = await newTenant()
  spy = await newTenant()
  const { key } = victim
  const model = named('secret')
  const { version } = await publish(model, addSub(), { key })
  await ok('PUT', `/v1/registry/models/${model}/aliases/champion`, { version }, { key })
  const opened = await ok<{ id: string }>(
    'POST',
    '/v1/uploads',
    { sha256: '1'.repeat(64), size: 9 },
    { key },
    201,
  )
  const feature = await featuresOf(key)
  const row = JSON.stringify({ INPUT0: Array(16).fill(1), INPUT1: Array(16).fill(2) })
  const job = await startJob(model, Buffer.from(`${row}\n`), { key })
  const file_id = await batchFile(key)
  const batch = { input_file_id: file_id, endpoint: '/v1/embeddings', completion_window: '24h' }
  const { id: batch_id } = await ok<{ id: string }>('POST', '/v1/batches', batch, { key })
  real = {
    tenant_id: victim.id,
    key_id: victim.keyId,
    upload_id: opened.id,
    job_id: job.id,
    file_id,
    batch_id,
    model,
    version: String(version),
    alias: 'champion',
    number: '1',
    // An hour is not over in a test: of segments that there are, tests/runtime/events asks.
    segment_id: newId('segment'),
    ...feature,
  }
  never = {
    ...real,
    tenant_id: newId('tenant'),
    key_id: newId('key'),
    upload_id: newId('upload'),
    job_id: newId('run'),
    file_id: newId('file'),
    batch_id: newId('run'),
    model: named('neverxx').slice(0, model.length).padEnd(model.length, 'x'),
    segment_id: newId('segment'),
    ...Object.fromEntries(Object.keys(feature).map(name => [name, `never_${name}`])),
    erasure_id: newId('erasure'),
  }
})

/** A file of requests, as OpenAI's clients send it. */
async function batchFile(key: string): Promise<string> {
  const { url } = await product()
  const body = new FormData()
  body.set('file', new Blob(['{"custom_id":"kept from everybody"}\n']), 'secret.jsonl')
  body.set('purpose', 'batch')
  const headers = { authorization: `Bearer ${key}` }
  const answer = await fetch(`${url}/v1/files`, { method: 'POST', headers, body })
  return ((await answer.json()) as { id: string }).id
}

/** An event type, a view, a service, a table and an endpoint of the tenant, by the names of their parameters. */
async function featuresOf(key: string) {
  const names = { type: 'secret.type', view: 'secret_view', service: 'secret_service' }
  const endpoint = 'secret_endpoint'
  const put = (path: string, body: unknown) => ok('PUT', path, body, { key })
  await put(`/v1/event-types/${names.type}`, EVENT_TYPE)
  const features = { count: { agg: 'count', window: '1h' } }
  await put(`/v1/feature-views/${names.view}`, { entity: 'card', event_type: names.type, features })
  await put(`/v1/feature-services/${names.service}`, { features: [`${names.view}:*`] })
  const decider = { event_type: names.type, gate: 'card', service: names.service, ...NO_RULES }
  await put(`/v1/decision-endpoints/${endpoint}`, decider)
  const hook = { source: 'secret_source', secret_name: 'first_secret' }
  await put(`/v1/hook-sources/${hook.source}`, {
    scheme: 'github',
    events: { '*': { type: names.type } },
    secrets: { [hook.secret_name]: 'kept from everybody' },
  })
  const table = 'secret_table'
  const sha256 = await upload(Buffer.from('{"card_id":"c1"}\n'), key)
  const rows = { file: { sha256, format: 'jsonl' }, ...EVENT_TYPE }
  await ok('PUT', `/v1/tables/${table}`, rows, { key }, 202)
  const subject = { entity: 'card', key: 'kept from everybody' }
  const { id } = await ok<{ id: string }>('POST', '/v1/events/erasures', subject, { key }, 202)
  return { ...names, endpoint, table, ...hook, erasure_id: id }
}

const EVENT_TYPE = { fields: { card_id: { type: 'string' } }, entities: { card: 'card_id' } }
const NO_RULES = { rules: [], otherwise: 'approve' }
/** Whoever puts a definition under a name makes one of their own. */
const DEFINING = [
  'models.publish',
  'event_types.declare',
  'hooks.declare',
  'views.apply',
  'views.plan',
  'services.apply',
  'services.plan',
  'endpoints.apply',
  'tables.put',
]

const QUERIES: Record<string, string> = {
  'decisions.find': '?id=x',
  'events.find': '?source=s&id=x',
}
const pathOf = (route: Route, ids: Record<string, string>) =>
  route.path.replaceAll(/:([a-z_]+)/g, (_, name) => idIn(ids, name)) + (QUERIES[route.name] ?? '')

/** A parameter that nobody has given an id would be the same for everybody, and so show nothing. */
function idIn(ids: Record<string, string>, name: string): string {
  const id = ids[name]
  if (id === undefined) throw new Error(`no ${name} of the victim's is known here`)
  return id
}

/** A body that the route would take, were the ids one's own. */
function bodyOf(route: Route): unknown {
  if (route.raw) return Buffer.from('{"inputs":[]}')
  if (!route.body) return undefined
  const file = { path: 'model.onnx', sha256: sha256Of(addSub()), size: addSub().length }
  const bodies: Record<string, unknown> = {
    'tenants.create': { name: 'x' },
    'tenants.limit': { runners: 1 },
    'keys.create': { name: 'x', scopes: ['infer'] },
    'uploads.create': { sha256: '1'.repeat(64), size: 9 },
    'models.publish': { files: [file] },
    'models.alias': { version: 1 },
    'models.rollout': { version: 1 },
    'decisions.replay': { id: 'x' },
    'views.explain': { key: 'x' },
    'hooks.add_secret': { secret: 'of somebody else' },
    'endpoints.backtest': {
      definition: { event_type: 'x', gate: 'card', service: 'x', ...NO_RULES },
    },
    'openai.create_batch': {
      input_file_id: real.file_id,
      endpoint: '/v1/embeddings',
      completion_window: '24h',
    },
    'jobs.create': { model: real.model, input: { sha256: '1'.repeat(64), format: 'jsonl' } },
  }
  return bodies[route.name] ?? {}
}

/** An answer as text, without what differs between any two requests. */
async function plain(route: Route, ids: Record<string, string>, key: string) {
  const { status, headers, body } = await api<{ request_id?: string }>(
    route.method,
    pathOf(route, ids),
    bodyOf(route),
    { key },
  )
  const id = body?.request_id ?? ''
  let text = JSON.stringify(body).replaceAll(id || '\0', 'REQUEST')
  for (const [name, value] of Object.entries(ids)) {
    if (name !== 'version' && name !== 'number') text = text.replaceAll(value, `<${name}>`)
  }
  const kept = [...headers].filter(
    ([name]) => !['date', 'galley-request-id', 'content-length'].includes(name),
  )
  return { status, text, headers: kept.sort() }
}

/** In whichever form the route's protocol has it. */
function problemIn(body: unknown): { code: string; error?: unknown; detail: string } {
  if (typeof body !== 'string') return body as ReturnType<typeof problemIn>
  const { message, ...rest } = JSON.parse(body)
  return { ...rest, detail: message }
}

describe('another tenant’s id is answered as one that never existed, to the byte', () => {
  const withIds = guarded.filter(
    ({ route }) => route.path.includes(':') && !DEFINING.includes(route.name),
  )
  test.each(withIds)('$title', async ({ route }) => {
    const [foreign, unknown] = [
      await plain(route, real, spy.key),
      await plain(route, never, spy.key),
    ]
    expect(foreign).toEqual(unknown)
    // What only the operator's keys may do, a tenant's may not ask about anybody.
    const isTenants = (TENANT_SCOPES as readonly string[]).includes(route.policy.scope)
    expect(foreign.status).toBe(isTenants || route.policy.scope === 'any' ? 404 : 403)
  })

  test('a foreign file is no file: it can be neither published nor run', async () => {
    const foreign = { path: 'model.onnx', sha256: sha256Of(addSub()), size: addSub().length }
    const unknown = { ...foreign, sha256: '2'.repeat(64) }
    const publishing = (file: object) =>
      api('POST', `/v1/registry/models/mine/versions`, { files: [file] }, { key: spy.key })
    const [a, b] = [await publishing(foreign), await publishing(unknown)]
    expect([a.status, { ...a.body, request_id: '' }]).toEqual([422, { ...b.body, request_id: '' }])
  })

  test('nothing of one tenant stands in another’s listings', async () => {
    for (const path of [
      '/v1/keys',
      '/v1/jobs',
      '/v1/registry/models',
      '/v1/audit',
      '/v1/receipts',
      '/v1/tenants',
      '/v1/event-types',
      '/v1/events',
      '/v1/events/erasures',
      '/v1/hook-sources',
      '/v1/feature-views',
      '/v1/feature-services',
      '/v1/decision-endpoints',
      '/v1/tables',
      '/v1/models',
      '/v1/files',
      '/v1/batches',
    ]) {
      const text = JSON.stringify(await ok('GET', path, undefined, { key: spy.key }))
      const {
        job_id,
        file_id,
        batch_id,
        erasure_id,
        model,
        type,
        view,
        service,
        endpoint,
        table,
        source,
      } = real
      const names = [model, type, view, service, endpoint, table, source]
      const ids = [victim.id, victim.keyId, job_id, file_id, batch_id, erasure_id, ...names]
      for (const id of ids) expect(text).not.toContain(id)
    }
    const { total } = await ok<{ total: { receipts: number } }>('GET', '/v1/usage', undefined, {
      key: spy.key,
    })
    expect(total.receipts).toBe(0)
  })

  test('after all of that the victim has what it had', async () => {
    const { key } = victim
    await ok('GET', `/v1/keys/${victim.keyId}`, undefined, { key })
    await ok('GET', `/v2/models/${real.model}/ready`, undefined, { key })
    const { aliases } = await ok<{ aliases: object }>(
      'GET',
      `/v1/registry/models/${real.model}`,
      undefined,
      { key },
    )
    expect(aliases).toEqual({ champion: 1 })
  })
})

describe('without a key that works every route but the public ones answers 401', () => {
  test.each(guarded)('$title', async ({ route }) => {
    const { url } = await product()
    const { key } = await mint()
    const send = (headers: Record<string, string>) =>
      fetch(url + pathOf(route, real), { method: route.method, headers })
    for (const headers of [
      {},
      { authorization: 'Basic dXNlcg==' },
      { authorization: `Bearer ${key}` },
    ]) {
      const answer = await send(headers as Record<string, string>)
      const body = problemIn(await answer.json())
      expect([answer.status, body.code]).toEqual([401, 'unauthenticated'])
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
      if (route.errors === 'oip') expect(body.error).toBe(body.detail)
      if (route.errors === 'openai') {
        expect(body.error).toMatchObject({ message: body.detail, type: 'authentication_error' })
      }
    }
  })

  test.each(routes.filter(({ route }) => route.policy.scope === 'public'))(
    '$title is public',
    async ({ route }) => {
      const { url } = await product()
      expect((await fetch(url + route.path)).status).toBe(200)
    },
  )
})

describe('a key without the scope gets 403, and the scope that it lacks by name', () => {
  const keys = new Map<string, string>()
  beforeAll(async () => {
    for (const scope of new Set(
      scoped.map(({ route }) => route.policy.scope as (typeof SCOPES)[number]),
    )) {
      const scopes = SCOPES.filter(one => one !== scope)
      const made = await ok<{ key: string }>(
        'POST',
        '/v1/keys',
        { name: `without ${scope}`, scopes },
        {},
        201,
      )
      keys.set(scope, made.key)
    }
  })
  test.each(scoped)('$title', async ({ route }) => {
    const key = keys.get(route.policy.scope)!
    const answer = await api(route.method, pathOf(route, real), bodyOf(route), { key })
    const { status } = answer
    const body = problemIn(answer.body)
    expect([status, body.code]).toEqual([403, 'insufficient_scope'])
    expect(body.detail).toContain(`"${route.policy.scope}"`)
  })
})
