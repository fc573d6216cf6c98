/** Keys in the running product: what is changed through an edge holds there at once, and no secret rests. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { mint } from '#core/tenants/tenants.ts'
import { addSub } from '#tests/models.ts'
import { named, newTenant, ok, publish, receiptsSettled, refused, type Tenant } from './actions.ts'
import { api, product } from './product.ts'

let tenant: Tenant
let model = ''
beforeAll(async () => {
  tenant = await newTenant()
  model = named('keys')
  await publish(model, addSub(), { key: tenant.key })
})

type Issued = { id: string; key: string; expires_at: string | null }
const create = (more: object = {}) =>
  ok<Issued>(
    'POST',
    '/v1/keys',
    { name: 'k', scopes: ['infer', 'keys:read', 'keys:write'], ...more },
    { key: tenant.key },
    201,
  )
const INPUTS = ['INPUT0', 'INPUT1'].map(name => ({
  name,
  shape: [1, 16],
  datatype: 'INT32',
  data: Array(16).fill(2),
}))
const infer = (key: string) =>
  api<{ code: string; request_id: string; error: string }>(
    'POST',
    `/v2/models/${model}/infer`,
    { inputs: INPUTS },
    { key },
  )
const worksFor = async (key: string) => (await infer(key)).status === 200

test('unknown, revoked, expired and mistyped keys get the same answer, to the byte', async () => {
  const revoked = await create()
  expect(await worksFor(revoked.key)).toBe(true)
  await ok('DELETE', `/v1/keys/${revoked.id}`, undefined, { key: tenant.key })
  const expiresAt = Date.now() + 1_200
  const expired = await create({ expires_at: new Date(expiresAt).toISOString() })
  const worked = await worksFor(expired.key)
  expect(worked || Date.now() >= expiresAt).toBe(true)
  while (Date.now() <= expiresAt) await sleep(50)
  const { key: unknown } = await mint()
  const mistyped = tenant.key.replace(/.$/, last => (last === 'a' ? 'b' : 'a'))
  const stolen = tenant.key.split('_').with(3, 'x'.repeat(32)).join('_')
  const answers = await Promise.all(
    [unknown, revoked.key, expired.key, mistyped, stolen].map(infer),
  )
  const texts = answers.map(({ status, body }) =>
    JSON.stringify([status, { ...body, request_id: '' }]),
  )
  expect(new Set(texts).size).toBe(1)
  expect(answers[0]!.status).toBe(401)
})

test('a revoked key stops at this edge with the very next request', async () => {
  for (let turn = 0; turn < 10; turn++) {
    const { id, key } = await create()
    expect(await worksFor(key)).toBe(true)
    await ok('DELETE', `/v1/keys/${id}`, undefined, { key: tenant.key })
    expect((await infer(key)).status).toBe(401)
  }
})

test('a key that is used while it is revoked stops all the same', async () => {
  const { id, key } = await create()
  let stop = false
  const using = Array.from({ length: 4 }, async () => {
    while (!stop) await infer(key)
  })
  await ok('DELETE', `/v1/keys/${id}`, undefined, { key: tenant.key })
  expect((await infer(key)).status).toBe(401)
  stop = true
  await Promise.all(using)
  expect((await infer(key)).status).toBe(401)
})

test('after a rotation without overlap the old key ends at once and the new one works', async () => {
  const old = await create()
  const successor = await ok<Issued>(
    'POST',
    `/v1/keys/${old.id}/rotate`,
    { overlap_s: 0 },
    { key: tenant.key },
    201,
  )
  expect(await worksFor(successor.key)).toBe(true)
  expect((await infer(old.key)).status).toBe(401)
})

test('with an overlap both work', async () => {
  const old = await create()
  const successor = await ok<Issued>(
    'POST',
    `/v1/keys/${old.id}/rotate`,
    { overlap_s: 60 },
    { key: tenant.key },
    201,
  )
  expect([await worksFor(old.key), await worksFor(successor.key)]).toEqual([true, true])
})

test('a key cannot issue or rotate one that may do more than itself', async () => {
  const weak = await create()
  const body = { name: 'stronger', scopes: ['infer', 'models:write'] }
  const problem = await refused('POST', '/v1/keys', body, 403, 'insufficient_scope', {
    key: weak.key,
  })
  expect(problem.detail).toContain('models:write')
  await refused('POST', `/v1/keys/${tenant.keyId}/rotate`, {}, 403, 'insufficient_scope', {
    key: weak.key,
  })
})

test('project and tags of the key stand in the receipts of its work', async () => {
  const own = await newTenant()
  const name = named('tagged')
  await publish(name, addSub(), { key: own.key })
  const body = { name: 'k', scopes: ['infer'], project: 'apollo', tags: { team: 'red' } }
  const { key, id } = await ok<Issued>('POST', '/v1/keys', body, { key: own.key }, 201)
  await ok('POST', `/v2/models/${name}/infer`, { inputs: INPUTS }, { key })
  const [receipt] = await receiptsSettled(own.key, 1)
  expect(receipt).toMatchObject({
    project: 'apollo',
    tags: { team: 'red' },
    key: id,
    model: name,
    kind: 'online',
    rows: 1,
  })
})

describe('Idempotency-Key', () => {
  const creating = (name: string, header: string, key = tenant.key) =>
    api<Issued & { code: string }>(
      'POST',
      '/v1/keys',
      { name, scopes: ['infer'] },
      { key, headers: { 'idempotency-key': header } },
    )
  const count = async (name: string) =>
    (
      await ok<{ data: { name: string }[] }>('GET', '/v1/keys?limit=1000', undefined, {
        key: tenant.key,
      })
    ).data.filter(k => k.name === name).length

  test('of many requests at once one creates; the rest get its reply or 409', async () => {
    const [name, header] = [named('once'), named('idem')]
    const answers = await Promise.all(Array.from({ length: 10 }, () => creating(name, header)))
    for (const { status, headers } of answers) {
      expect([201, 409]).toContain(status)
      if (status === 409) expect(headers.get('retry-after')).toBe('1')
    }
    expect(await count(name)).toBe(1)
    const again = await creating(name, header)
    expect(again.headers.get('idempotent-replayed')).toBe('true')
    const keys = [...answers, again].flatMap(({ status, body }) =>
      status === 201 ? [body.key] : [],
    )
    expect(new Set(keys).size).toBe(1)
  })

  test('another body under the same key is 422', async () => {
    const header = named('idem')
    await creating('one', header)
    const other = await creating('two', header)
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_mismatch'])
  })

  test('another API key of the tenant cannot read the secret reply', async () => {
    const header = named('idem')
    const body = { name: 'other', scopes: ['keys:write', 'infer'] }
    const other = await ok<Issued>('POST', '/v1/keys', body, { key: tenant.key }, 201)
    await creating('one', header)
    const stolen = await creating('one', header, other.key)
    expect([stolen.status, stolen.body.code]).toEqual([422, 'idempotency_mismatch'])
    expect(JSON.stringify(stolen.body)).not.toContain('gly_')
  })
})

test('no log holds an API key or an internal token', async () => {
  await refused('GET', `/v1/keys/${tenant.key}`, undefined, 404, 'not_found', { key: tenant.key })
  await api('GET', `/v1/nothing/${tenant.key}`)
  await sleep(300)
  const { dataFolder } = await product()
  for (const name of readdirSync(join(dataFolder, 'log'))) {
    const text = readFileSync(join(dataFolder, 'log', name), 'utf8')
    expect([name, text.match(/gly_(live|test)_\w+/g)]).toEqual([name, null])
    expect([name, text.match(/v1\.edge\.[\w-]{20}/g)]).toEqual([name, null])
  }
})
