/** The work in flight while things die: every kind that the product acknowledges, at the same time. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Book, count, type File, type Job, type Key, type Tenant } from './book.ts'
import { type Client, Refused } from './client.ts'
import type { Random } from './random.ts'
import { jsonl, same, tensorBody } from './rows.ts'
import { ALIAS, BULK_MODEL, ONLINE_MODEL, publish, upload } from './tenants.ts'

export type Workload = {
  /** Starts nothing new; resolves when everybody has the answer that they wait for. */
  stop(): Promise<void>
}
export type WorkloadDeps = { client: Client; book: Book; tenants: Tenant[]; random: Random }

const PREDICTORS = 12
const PREDICTION_PAUSE_MS = [4, 14] as const
const PREDICTION_TIMEOUT_MS = 8_000
const JOBS_MAX = 3
const JOB_ROWS = [800, 6_000] as const
const UPLOADS_MAX = 3
const UPLOAD_ROWS = 60
const PUBLISHES_MAX = 3
/** A validation of a second or so, so that it can be met at work. */
const PUBLISH_TURNS = 30_000
const KEYS_MAX = 8

let serial = 0

export function startWorkload(deps: WorkloadDeps): Workload {
  const stopping = new AbortController()
  const { signal } = stopping
  const loops = [
    ...Array.from({ length: PREDICTORS }, (_, i) => predicting(deps, i, signal)),
    repeated(deps, signal, JOBS_MAX, [200, 900], i => job(deps, i === 1)),
    repeated(deps, signal, UPLOADS_MAX, [300, 1_200], () => bareUpload(deps)),
    repeated(deps, signal, PUBLISHES_MAX, [100, 500], () => publishing(deps)),
    repeated(deps, signal, KEYS_MAX, [200, 600], () => issueKey(deps)),
    repeated(deps, signal, Infinity, [80, 300], () => flip(deps)),
  ]
  return {
    async stop() {
      stopping.abort()
      await Promise.all(loops)
    },
  }
}

/** One after the other; a refusal is noted, because the product had no reason for it. */
async function repeated(
  { random, book }: WorkloadDeps,
  signal: AbortSignal,
  times: number,
  pauseMs: readonly [number, number],
  work: (i: number) => Promise<void>,
): Promise<void> {
  for (let i = 0; i < times && !signal.aborted; i++) {
    await work(i).catch(error => {
      count(book.faults, error instanceof Refused ? error.message : String(error))
    })
    await sleep(random.int(...pauseMs), undefined, { signal }).catch(() => {})
  }
}

async function predicting(deps: WorkloadDeps, i: number, signal: AbortSignal): Promise<void> {
  const { random, tenants } = deps
  const key = tenants[i % tenants.length]!.keys[i % 2]!
  while (!signal.aborted) {
    const answered = await predict(deps, key)
    const pause = answered ? random.int(...PREDICTION_PAUSE_MS) : random.int(50, 150)
    await sleep(pause, undefined, { signal }).catch(() => {})
  }
}

/** One prediction; false when it was not answered with a result. */
export async function predict({ client, book, random }: WorkloadDeps, key: Key): Promise<boolean> {
  const rows = random.int(1, 3)
  const { data, body } = tensorBody(serial++, rows)
  const version = random.pick(['', `/versions/${ALIAS}`, '/versions/1'])
  const path = `/v2/models/${ONLINE_MODEL}${version}/infer`
  const headers = { 'galley-timeout-ms': String(PREDICTION_TIMEOUT_MS) }
  try {
    const timeoutMs = PREDICTION_TIMEOUT_MS
    const asked = { key: key.secret, method: 'POST', path, body, headers, timeoutMs }
    const reply = await client.once(asked)
    const ackedAt = performance.now()
    count(book.statuses, String(reply.status))
    if (reply.status === 200) {
      const requestId = reply.headers['galley-request-id'] as string
      const receiptId = reply.headers['galley-receipt'] as string
      book.predictions.set(requestId, { requestId, receiptId, key, rows, ackedAt })
      const given = JSON.parse(reply.body.toString()).outputs[0].data
      if (!same(given, data)) count(book.faults, `wrong result of ${requestId}`)
      return true
    }
    const text = reply.body.toString()
    // What the caller did wrong it would be told at any time; here it did nothing wrong.
    if (reply.status < 500) count(book.faults, `prediction: ${reply.status} ${text.slice(0, 200)}`)
    if (reply.status === 500) count(book.statuses, `500 ${text.slice(0, 160)}`)
  } catch {
    count(book.statuses, 'no answer')
  }
  count(book.unanswered, key.id)
  return false
}

async function job(deps: WorkloadDeps, toBeCanceled: boolean): Promise<void> {
  const { random, tenants, client } = deps
  const key = random.pick(random.pick(tenants).keys)
  const file = await uploadRows(deps, key, random.int(...JOB_ROWS), 3)
  const made = await createJob(deps, key, file)
  if (!toBeCanceled) return
  await sleep(random.int(0, 1_500))
  made.cancel = 'asked'
  await client.insist({ key: key.secret, method: 'POST', path: `/v1/jobs/${made.id}/cancel` })
  made.cancel = 'acked'
}

/** Runs the bulk model over a file and notes the job. */
export async function createJob(
  { client, book }: Pick<WorkloadDeps, 'client' | 'book'>,
  key: Key,
  file: File,
): Promise<Job> {
  const body = { model: BULK_MODEL, input: { sha256: file.sha256, format: 'jsonl' } }
  const headers = { 'idempotency-key': randomUUID() }
  const asked = { key: key.secret, method: 'POST', path: '/v1/jobs', body, headers }
  const { id } = await client.insist(asked)
  const made: Job = { id, key, file, cancel: null }
  book.jobs.push(made)
  return made
}

/** Uploads rows of a fresh seed in parts and notes the upload. */
export async function uploadRows(
  { client, book }: Pick<WorkloadDeps, 'client' | 'book'>,
  key: Key,
  rows: number,
  parts: number,
): Promise<File> {
  const seed = serial++
  const { tenant } = key
  const { id, sha256, size } = await upload(client, key.secret, jsonl(seed, rows), parts)
  const file: File = { tenant, sha256, size, seed, rows }
  book.uploads.push({ id, file, key })
  return file
}

async function bareUpload(deps: WorkloadDeps): Promise<void> {
  const { random, tenants } = deps
  await uploadRows(deps, random.pick(random.pick(tenants).keys), UPLOAD_ROWS, 3)
}

async function publishing({ client, book, random, tenants }: WorkloadDeps): Promise<void> {
  const key = random.pick(random.pick(tenants).keys)
  // Every turn more is another file, and another digest.
  await publish(client, book, key, 'judged', PUBLISH_TURNS + serial++)
}

/** The reply may be lost after the key was made: asked again in the same words, it is the same key. */
async function issueKey({ client, book, random, tenants }: WorkloadDeps): Promise<void> {
  const tenant = random.pick(tenants)
  const project = `p${serial++}`
  const body = { name: project, scopes: ['infer'], project, tags: { made: 'late' } }
  const headers = { 'idempotency-key': randomUUID() }
  const ask = { key: tenant.admin, method: 'POST', path: '/v1/keys', body, headers }
  const issued = await client.insist(ask)
  const key: Key = { tenant, id: issued.id, secret: issued.key, project, tags: body.tags }
  book.keys.push({ key, ask })
}

async function flip({ client, book, random, tenants }: WorkloadDeps): Promise<void> {
  const tenant = random.pick(tenants)
  const alias = book.aliases.get(`${tenant.id} ${ONLINE_MODEL} ${ALIAS}`)!
  const version = random.int(1, 2)
  alias.may.push(version)
  const path = `/v1/registry/models/${alias.model}/aliases/${alias.alias}`
  await client.insist({ key: tenant.admin, method: 'PUT', path, body: { version } })
  alias.may = [version]
  book.flips.push({ ...alias })
}
