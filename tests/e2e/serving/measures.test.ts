/** The measures of the running product: what was asked stands there, for the operator and nobody else. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { mlp } from '#tests/models.ts'
import { familiesIn, faultsOf, namesIn } from '#tests/prometheus-text.ts'
import { measures, named, newTenant, ok, publish, refused, total } from '../actions.ts'
import { product } from '../product.ts'

const WATCHING = new URL('../../../docs/design/watching.md', import.meta.url)

test('requests, batches, queue, compute and cache are counted over all processes, by route, tenant and model', async () => {
  const { id, key } = await newTenant()
  const model = named('measured')
  // Of its own: a runner counts the same file under the name by which it was loaded first.
  await publish(model, mlp(Date.now() % 1e9, [2, 3, 1]), { key })
  await ok('PUT', `/v1/registry/models/${model}/serving`, { cache: { ttl_s: 60 } }, { key })
  const ofModel = `model="${model}"`
  const before = await measures()
  for (const first of [1, 2, 2]) {
    const inputs = [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [first, 0] }]
    await ok('POST', `/v2/models/${model}/infer`, { inputs }, { key })
  }
  await refused('POST', `/v2/models/${named('none')}/infer`, { inputs: [] }, 404, 'not_found', {
    key,
  })

  // A batch is counted when its replies may have left already.
  let after = await measures()
  while (total(after, 'galley_batches_total', ofModel) < 2) {
    await sleep(50)
    after = await measures()
  }
  const grown = (name: string, ...labels: string[]) =>
    total(after, name, ...labels) - total(before, name, ...labels)
  const byHttp = ['route="oip.infer"', 'protocol="http"']
  expect(grown('galley_requests_total', ...byHttp, 'code="200"')).toBeGreaterThanOrEqual(3)
  expect(grown('galley_requests_total', ...byHttp, 'code="404"')).toBeGreaterThanOrEqual(1)
  expect(grown('galley_tenant_requests_total', `tenant="${id}"`)).toBe(4)
  expect(grown('galley_request_seconds_count', 'route="oip.infer"')).toBeGreaterThanOrEqual(4)
  expect(grown('galley_response_cache_total', 'outcome="hit"')).toBeGreaterThanOrEqual(1)
  expect(grown('galley_batches_total', ofModel, 'reason=')).toBe(2)
  expect(grown('galley_batch_rows_sum', ofModel)).toBe(2)
  expect(grown('galley_queue_seconds_count', ofModel)).toBe(2)
  expect(grown('galley_model_seconds_total', ofModel)).toBeGreaterThan(0)
  expect(after).toMatch(new RegExp(`galley_dropped_requests_total{[^}]*${ofModel}[^}]*"late"} 0`))
  expect(total(after, 'galley_up')).toBeGreaterThanOrEqual(1)
  for (const name of [
    'galley_router_runners',
    'process_resident_memory_bytes',
    'galley_models_memory_bytes',
    'galley_requests_in_flight',
    'galley_response_cache_bytes',
    'galley_response_cache_entries',
  ]) {
    expect([name, total(after, name) > 0]).toEqual([name, true])
  }
})

test('what all processes measure is of Prometheus’ form to the letter, and each family of it is documented', async () => {
  const families = familiesIn(await measures())
  expect(faultsOf(families)).toEqual([])
  const told = new Set(namesIn(readFileSync(WATCHING, 'utf8')))
  expect([...families.keys()].filter(name => !told.has(name))).toEqual([])
  expect(families.size).toBeGreaterThan(25)
})

test('a tenant’s own key, which may do everything of its own, may not see what others do', async () => {
  const { key } = await newTenant()
  const { detail } = await refused('GET', '/metrics', undefined, 403, 'insufficient_scope', { key })
  expect(detail).toContain('metrics:read')
  const asked = { name: 'n', scopes: ['metrics:read'] }
  await refused('POST', '/v1/keys', asked, 403, 'insufficient_scope', { key })
})

test('what the functions answer, and the messages that they handle, are counted by their names', async () => {
  const before = await measures()
  const { key } = await newTenant()
  const type = { fields: { card: { type: 'string' } }, entities: { card: 'card' } }
  await ok('PUT', '/v1/event-types/payment', type, { key })
  const event = { specversion: '1.0', id: 'e1', source: '/till', type: 'payment' }
  const headers = { 'content-type': 'application/cloudevents+json' }
  await ok('POST', '/v1/events', { ...event, data: { card: 'c' } }, { key, headers }, 202)
  const handled = ['queue="events"', 'outcome="handled"']
  let after = await measures()
  const grown = (name: string, ...labels: string[]) =>
    total(after, name, ...labels) - total(before, name, ...labels)
  while (grown('galley_messages_total', ...handled) === 0) {
    await sleep(50)
    after = await measures()
  }
  const [declared, accepted] = [
    'function="event_types.declare"',
    'function="/internal/events/accept"',
  ]
  expect(grown('galley_function_requests_total', declared, 'code="200"')).toBe(1)
  expect(grown('galley_function_seconds_count', declared)).toBe(1)
  expect(grown('galley_function_requests_total', accepted)).toBeGreaterThanOrEqual(1)
  expect(total(after, 'process_resident_memory_bytes', 'process="functions"')).toBeGreaterThan(0)
  // Durable Objects are measured by their platform.
  if ((await product()).edge === 'workerd') return
  for (const [name, of] of [
    ['galley_object_calls_total', 'tenant'],
    ['galley_object_calls_total', 'features'],
    ['galley_object_turn_seconds_count', 'features'],
    ['galley_object_sync_seconds_count', 'features'],
  ] as const) {
    expect([name, of, grown(name, 'process="objects"', `class="${of}"`) > 0]).toEqual([
      name,
      of,
      true,
    ])
  }
})
