/** The response cache in the running product: opted into by model, each hit billed once, by its own kind. */
import { beforeAll, expect, test } from 'vitest'
import { addSub } from '#tests/models.ts'
import { named, newTenant, ok, publish, receiptsSettled, refused, type Tenant } from '../actions.ts'
import { api, product } from '../product.ts'

const A = Array.from({ length: 16 }, (_, i) => i)
const B = A.map(i => 100 - i)
const tensor = (name: string, data: number[]) => ({
  name,
  shape: [1, 16],
  datatype: 'INT32',
  data,
})
const ASKED = { id: 'first', inputs: [tensor('INPUT0', A), tensor('INPUT1', B)] }

let tenant: Tenant
let model: string
beforeAll(async () => {
  tenant = await newTenant()
  model = named('cached')
  await publish(model, addSub(), { key: tenant.key })
})

type Reply = { id: string; outputs: { name: string; data: number[] }[] }
const infer = (body: object = ASKED, headers = {}) =>
  api<Reply>('POST', `/v2/models/${model}/infer`, body, { key: tenant.key, headers })
const serving = (body: object) =>
  ok('PUT', `/v1/registry/models/${model}/serving`, body, { key: tenant.key })
const statusOf = ({ headers }: { headers: Headers }) => headers.get('cache-status')

/** As Triton's clients send it, and want it back. */
async function inferBinary() {
  const { url } = await product()
  const inputs = ['INPUT0', 'INPUT1'].map(name => ({
    name,
    shape: [1, 16],
    datatype: 'INT32',
    parameters: { binary_data_size: 64 },
  }))
  const json = Buffer.from(JSON.stringify({ inputs, parameters: { binary_data_output: true } }))
  const raw = Int32Array.from([...A, ...B])
  const response = await fetch(`${url}/v2/models/${model}/infer`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${tenant.key}`,
      'inference-header-content-length': String(json.length),
    },
    body: Buffer.concat([json, new Uint8Array(raw.buffer)]),
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  const at = Number(response.headers.get('inference-header-content-length'))
  return {
    headers: response.headers,
    sums: new Int32Array(Uint8Array.from(bytes.subarray(at)).buffer),
  }
}

test('answers are kept once a tenant says so, are the same for JSON and binary, and each hit is billed once', async () => {
  expect(statusOf(await infer())).toBeNull()
  await serving({ cache: { ttl_s: 600 } })
  expect(statusOf(await infer())).toBe('galley; fwd=miss; stored')

  const hit = await infer({ ...ASKED, id: 'second' })
  expect(statusOf(hit)).toMatch(/^galley; hit; ttl=(600|5\d\d)$/)
  expect(Number(hit.headers.get('age'))).toBeLessThan(600)
  expect(hit.body.id).toBe('second')
  expect(hit.body.outputs[0]!.data).toEqual(A.map((a, i) => a + B[i]!))
  const binary = await inferBinary()
  expect(statusOf(binary)).toMatch(/^galley; hit/)
  expect([...binary.sums.subarray(0, 16)]).toEqual(A.map((a, i) => a + B[i]!))

  const other = { ...ASKED, outputs: [{ name: 'OUTPUT1' }] }
  expect(statusOf(await infer(other))).toBe('galley; fwd=miss; stored')
  expect(statusOf(await infer(ASKED, { 'cache-control': 'no-cache' }))).toBe(
    'galley; fwd=request; stored',
  )
  const many = await Promise.all(Array.from({ length: 20 }, () => infer()))
  for (const each of many) expect(statusOf(each)).toMatch(/^galley; hit/)
  await serving({})
  expect(statusOf(await infer())).toBeNull()

  const receipts = await receiptsSettled(tenant.key, 27)
  expect(receipts).toHaveLength(27)
  const ids = new Set([...many, hit, binary].map(({ headers }) => headers.get('galley-receipt')))
  const cached = receipts.filter(({ kind }) => kind === 'cached')
  expect(new Set(cached.map(({ id }) => id))).toEqual(ids)
  for (const { rows, compute_us, requests } of cached) {
    expect([rows, compute_us, requests]).toEqual([1, 0, 1])
  }
  const { data } = await ok<{ data: { group: object; requests: number }[] }>(
    'GET',
    '/v1/usage?group_by=kind',
    undefined,
    { key: tenant.key },
  )
  expect(data.map(({ group, requests }) => [group, requests])).toEqual([
    [{ kind: 'cached' }, 22],
    [{ kind: 'online' }, 5],
  ])
})

test('a setting that makes no sense is refused with what would', async () => {
  const path = `/v1/registry/models/${model}/serving`
  const { key } = tenant
  const { errors } = await refused('PUT', path, { cache: { ttl_s: 0 } }, 422, 'invalid_body', {
    key,
  })
  expect(errors![0]!.pointer).toBe('/cache/ttl_s')
  const unknown = `/v1/registry/models/${named('none')}/serving`
  await refused('PUT', unknown, { cache: null }, 404, 'not_found', { key })
})
