/** What users do with the product, as steps for the end-to-end tests: all of it over the public API. */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { api, product } from './product.ts'

export type Problem = {
  type: string
  title: string
  status: number
  detail: string
  code: string
  request_id: string
  errors?: { pointer: string; detail: string }[]
  error?: string
}
export type Tenant = { id: string; key: string; keyId: string }
type Version = {
  version: number
  digest: string
  state: string
  signature: unknown
  tuning: unknown
  error: string | null
}
export type Job = {
  id: string
  state: string
  rows_total: number | null
  rows_done: number
  rows_failed: number
  progress: number
  result: { size: number; url: string } | null
  error: { code: string; detail: string } | null
}

export const sha256Of = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

let serial = 0
/** Names of their own for each call, so that tests don't meet. */
export const named = (what: string) => `${what}-${process.pid}-${serial++}`

/** A tenant of its own for a test file. */
export async function newTenant(): Promise<Tenant> {
  const made = await ok<{ tenant: { id: string }; key: { key: string; id: string } }>(
    'POST',
    '/v1/tenants',
    { name: named('tenant') },
    {},
    201,
  )
  return { id: made.tenant.id, key: made.key.key, keyId: made.key.id }
}

/** A request that must succeed; its body. */
export async function ok<T>(
  method: string,
  path: string,
  body?: unknown,
  options: Parameters<typeof api>[3] = {},
  status = 200,
): Promise<T> {
  const answer = await api<T>(method, path, body, options)
  expect([method, path, answer.status, answer.status < 300 ? '' : answer.body]).toEqual([
    method,
    path,
    status,
    '',
  ])
  return answer.body
}

/** A request that must fail with this status and code; its problem. */
export async function refused(
  method: string,
  path: string,
  body: unknown,
  status: number,
  code: string,
  options: Parameters<typeof api>[3] = {},
): Promise<Problem> {
  const answer = await api<Problem>(method, path, body, options)
  expect([method, path, answer.status, answer.body.code]).toEqual([method, path, status, code])
  expect(answer.body.request_id).toBe(answer.headers.get('galley-request-id'))
  return answer.body
}

export async function upload(bytes: Uint8Array, key?: string): Promise<string> {
  const sha256 = sha256Of(bytes)
  const made = await ok<{ id: string; state: string }>(
    'POST',
    '/v1/uploads',
    { sha256, size: bytes.length },
    { key },
    201,
  )
  if (made.state === 'complete') return sha256
  if (bytes.length > 0) await ok('PUT', `/v1/uploads/${made.id}/parts/1`, bytes, { key })
  await ok('POST', `/v1/uploads/${made.id}/complete`, {}, { key })
  return sha256
}

export async function publishing(
  model: string,
  graph: Uint8Array,
  more: { key?: string; manifest?: object; beside?: Record<string, Uint8Array> } = {},
) {
  const files = await Promise.all(
    Object.entries({ 'model.onnx': graph, ...more.beside }).map(async ([path, bytes]) => ({
      path,
      sha256: await upload(bytes, more.key),
      size: bytes.length,
    })),
  )
  const body = { graph: 'model.onnx', files, ...more.manifest }
  return api<Version & Problem>('POST', `/v1/registry/models/${model}/versions`, body, {
    key: more.key,
  })
}

/** Publishes a version that must be ready. */
export async function publish(
  model: string,
  graph: Uint8Array,
  more?: Parameters<typeof publishing>[2],
) {
  const { status, body } = await publishing(model, graph, more)
  expect([model, status, body.detail ?? '', body.state]).toEqual([model, 201, '', 'ready'])
  return body
}

export async function startJob(
  model: string,
  input: Uint8Array,
  more: { key?: string; format?: string; version?: number | string } = {},
): Promise<Job> {
  const { key, format = 'jsonl', version } = more
  const sha256 = await upload(input, key)
  return ok<Job>('POST', '/v1/jobs', { model, version, input: { sha256, format } }, { key }, 202)
}

export async function settled(id: string, key?: string): Promise<Job> {
  for (;;) {
    const job = await ok<Job>('GET', `/v1/jobs/${id}`, undefined, { key })
    if (job.state !== 'queued' && job.state !== 'running') return job
    await sleep(50)
  }
}

/** The usage of a tenant once nothing more arrives: receipts ship within a second. */
export async function receiptsSettled(key: string, atLeast: number): Promise<Receipt[]> {
  for (;;) {
    const receipts = await allReceipts(key)
    if (receipts.length >= atLeast) return receipts
    await sleep(100)
  }
}
export type Receipt = {
  seq: number
  id: string
  at: string
  kind: string
  work: string
  model: string
  version: number
  key: string
  project: string | null
  tags: Record<string, string>
  requests: number
  rows: number
  compute_us: number
  tokens: number
  bytes_in: number
  bytes_out: number
}

export async function allReceipts(key: string): Promise<Receipt[]> {
  const all: Receipt[] = []
  for (let cursor = ''; ; ) {
    const query = cursor && `&cursor=${encodeURIComponent(cursor)}`
    const page = await ok<{ data: Receipt[]; next_cursor: string | null }>(
      'GET',
      `/v1/receipts?limit=1000${query}`,
      undefined,
      { key },
    )
    all.push(...page.data)
    if (!page.next_cursor) return all
    cursor = page.next_cursor
  }
}

/** Of all processes, as the operator reads them. */
export async function measures(): Promise<string> {
  const { url, key } = await product()
  const reply = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${key}` } })
  expect(reply.status).toBe(200)
  expect(reply.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return reply.text()
}

/** The sum of all series of a name whose labels hold all of these. */
export function total(text: string, name: string, ...labels: string[]): number {
  return text
    .split('\n')
    .filter(line => line.startsWith(`${name}{`) && labels.every(label => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
