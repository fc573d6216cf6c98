/** The inference log in the running product: what was asked is there, as it was, of whom the tenant says, and no other. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { addSub } from '#tests/models.ts'
import { named, newTenant, ok, publish, refused } from '../actions.ts'
import { api } from '../product.ts'

const A = Array.from({ length: 16 }, (_, i) => i)
const input = (name: string, data: number[]) => ({ name, shape: [1, 16], datatype: 'INT32', data })
const asked = (parameters: object) => ({
  inputs: [input('INPUT0', A), input('INPUT1', A)],
  outputs: [{ name: 'OUTPUT0' }],
  parameters,
})
type Logged = {
  id: string
  receipt: string
  version: number
  digest: string
  features: string | null
  subject: object | null
  rows: number
  inputs: Record<string, { data: number[] }>
  outputs: Record<string, { data: number[] }>
}

test('a sampled request stands in the log with its tensors, receipt, features and subject; one without a subject does not', async () => {
  const { key } = await newTenant()
  const model = named('logged')
  const { digest } = await publish(model, addSub(), { key })
  const path = `/v1/registry/models/${model}`
  const infer = (parameters: object) =>
    api('POST', `/v2/models/${model}/infer`, asked(parameters), { key })
  await infer({ card: 'before' })
  const subject = { entity: 'card', parameter: 'card' }
  await ok('PUT', `${path}/serving`, { inference_log: { sample: 1, subject } }, { key })
  const first = await infer({ card: 'c1', features: 'snapshot-7' })
  await infer({ note: 'of nobody' })
  const second = await infer({ card: 'c2' })

  const listed = () => ok<{ data: Logged[] }>('GET', `${path}/inferences`, undefined, { key })
  let { data } = await listed()
  for (; data.length < 2; { data } = await listed()) await sleep(50)
  expect(data.map(({ subject }) => subject)).toEqual([
    { entity: 'card', key: 'c2' },
    { entity: 'card', key: 'c1' },
  ])
  expect(data[0]!.receipt).toBe(second.headers.get('galley-receipt'))
  expect(data[1]).toMatchObject({
    id: first.headers.get('galley-request-id'),
    receipt: first.headers.get('galley-receipt'),
    version: 1,
    digest,
    features: 'snapshot-7',
    rows: 1,
    inputs: { INPUT0: { datatype: 'INT32', shape: [1, 16], data: A } },
    outputs: { OUTPUT0: { datatype: 'INT32', shape: [1, 16], data: A.map(a => 2 * a) } },
  })
  expect(Object.keys(data[1]!.outputs)).toEqual(['OUTPUT0'])

  await ok('POST', '/v1/events/erasures', { entity: 'card', key: 'c1' }, { key }, 202)
  for (; data.length > 1; { data } = await listed()) await sleep(50)
  expect(data.map(({ subject }) => subject)).toEqual([{ entity: 'card', key: 'c2' }])
})

test('what one tenant keeps nobody else reads, and a key without the scope neither', async () => {
  const { key } = await newTenant()
  const model = named('logged')
  await publish(model, addSub(), { key })
  const path = `/v1/registry/models/${model}/inferences`
  const other = await newTenant()
  await refused('GET', path, undefined, 404, 'not_found', { key: other.key })
  const limited = { name: 'n', scopes: ['models:read', 'infer'] }
  const made = await ok<{ key: string }>('POST', '/v1/keys', limited, { key }, 201)
  await refused('GET', path, undefined, 403, 'insufficient_scope', { key: made.key })
})
