/**
 * Holds the product to its book, through the public API alone: what was acknowledged is there, done and
 * right, billed once and to the right account; what was not acknowledged is billed at most once.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Book, Job, Prediction, Tenant, Upload } from './book.ts'
import { type Client, type Json, Refused } from './client.ts'
import { openReader, type Reader, SUMMED } from './receipts.ts'
import { wrongLines } from './rows.ts'
import { createJob } from './workload.ts'

export type Verdict = {
  completed: number
  lost: number
  unbilled: number
  billedTwice: number
  receiptsLostInLast50Ms: number
  /** Why, in words, for whoever has to find the cause. */
  why: string[]
}
export type Checker = {
  /**
   * Waits until the work has settled, then checks what no earlier check found good; `all`: everything,
   * from the first receipt on.
   */
  check(options?: { all?: boolean }): Promise<Verdict>
  /** The power was cut: receipts of the last moments before it may be missing. */
  powerWasCut(at: number): void
}

const SETTLE_MS = 90_000
const POLL_MS = 200
/** What a power failure may take of online receipts. */
const UNSYNCED_MS = 50
/** Answers that had left before the cut and were read after it. */
const IN_FLIGHT_MS = 200
const WHY_MAX = 12

export function openChecker(
  client: Client,
  book: Book,
  tenants: Tenant[],
  settleMs = SETTLE_MS,
): Checker {
  let readers = tenants.map(tenant => openReader(client, tenant))
  const cuts: number[] = []
  let good = new Set<object>()

  async function check({ all = false } = {}): Promise<Verdict> {
    if (all) {
      readers = tenants.map(tenant => openReader(client, tenant))
      good = new Set()
    }
    const found = findings(good)
    const until = performance.now() + settleMs
    await proveUploads(found)
    const jobs = await settledJobs(
      client,
      book.jobs.filter(job => !good.has(job)),
      until,
    )
    await settledReceipts(book, readers, cuts, until)
    checkPredictions(book, readers, cuts, found)
    for (const { job, shown } of jobs) await checkJob(client, job, shown, readers, found)
    await checkStored(client, book, found)
    checkOnce(book, readers, found)
    for (const reader of readers) await checkTotals(client, reader, found)
    for (const [fault, times] of book.faults) found.lost(`${fault} (${times} times)`)
    return found.verdict
  }

  /** The bytes of an upload are proved by a job over them. */
  async function proveUploads(found: Findings): Promise<void> {
    const used = new Set(book.jobs.map(job => job.file.sha256))
    for (const upload of book.uploads) {
      if (used.has(upload.file.sha256)) continue
      await createJob({ client, book }, upload.key, upload.file).catch(error =>
        found.lost(`upload ${upload.id}: ${error.message}`),
      )
    }
  }

  return { check, powerWasCut: at => void cuts.push(at) }
}

function findings(good: Set<object>) {
  const verdict: Verdict = {
    completed: 0,
    lost: 0,
    unbilled: 0,
    billedTwice: 0,
    receiptsLostInLast50Ms: 0,
    why: [],
  }
  const note = (why: string) => void (verdict.why.length < WHY_MAX && verdict.why.push(why))
  return {
    verdict,
    isGood: (thing: object) => good.has(thing),
    completed(thing: object) {
      verdict.completed++
      good.add(thing)
    },
    lostInTime(thing: object) {
      verdict.receiptsLostInLast50Ms++
      good.add(thing)
    },
    lost(why: string) {
      verdict.lost++
      note(`lost: ${why}`)
    },
    unbilled(why: string) {
      verdict.unbilled++
      note(`unbilled: ${why}`)
    },
    billedTwice(why: string, times = 1) {
      verdict.billedTwice += times
      note(`billed twice: ${why}`)
    },
  }
}
type Findings = ReturnType<typeof findings>
type SettledJob = { job: Job; shown: Json }

async function settledJobs(client: Client, jobs: Job[], until: number): Promise<SettledJob[]> {
  const settled: SettledJob[] = []
  for (const job of jobs) {
    for (;;) {
      const shown = await get(client, job.key.secret, `/v1/jobs/${job.id}`)
      const open = shown && ['queued', 'running'].includes(shown.state)
      if (!open || performance.now() > until) {
        settled.push({ job, shown })
        break
      }
      await sleep(POLL_MS)
    }
  }
  return settled
}

/** Receipts arrive after their replies: reads until all are there, or nothing more comes in time. */
async function settledReceipts(book: Book, readers: Reader[], cuts: number[], until: number) {
  const isBilled = (prediction: Prediction) =>
    readerOf(readers, prediction.key.tenant).byWork.has(prediction.requestId)
  let missing = [...book.predictions.values()].filter(p => !mayBeLost(p, cuts))
  for (;;) {
    for (const reader of readers) await reader.read()
    missing = missing.filter(prediction => !isBilled(prediction))
    if (missing.length === 0 || performance.now() > until) break
    await sleep(POLL_MS)
  }
  // One more look, for those that should not be there.
  await sleep(2 * POLL_MS)
  for (const reader of readers) await reader.read()
}

function checkPredictions(book: Book, readers: Reader[], cuts: number[], found: Findings): void {
  for (const prediction of book.predictions.values()) {
    const { requestId, receiptId, key, rows } = prediction
    if (found.isGood(prediction)) continue
    const receipts = readerOf(readers, key.tenant).byWork.get(requestId) ?? []
    const [receipt] = receipts
    if (!receipt) {
      if (mayBeLost(prediction, cuts)) found.lostInTime(prediction)
      else found.unbilled(`prediction ${requestId}${agesOf(prediction, cuts)}`)
      continue
    }
    const { id, rows: billed, key: payer, project, tags, kind, requests } = receipt
    const right =
      id === receiptId &&
      billed === rows &&
      payer === key.id &&
      project === key.project &&
      kind === 'online' &&
      requests === 1 &&
      JSON.stringify(tags) === JSON.stringify(sorted(tags, key.tags))
    if (right) found.completed(prediction)
    else found.unbilled(`${requestId} has the receipt ${JSON.stringify(receipt)}`)
  }
}

async function checkJob(
  client: Client,
  job: Job,
  shown: Json,
  readers: Reader[],
  found: Findings,
): Promise<void> {
  const { id, key, file, cancel } = job
  if (!shown) return found.lost(`job ${id} is not there`)
  const { state } = shown
  const receipts = worksOf(readerOf(readers, key.tenant), id)
  const billed = [...receipts.values()].reduce((sum, [first]) => sum + first!.rows, 0)
  const payer = [...receipts.values()].every(([first]) => first!.key === key.id)
  if (billed !== shown.rows_done - shown.rows_failed || !payer) {
    return found.unbilled(`job ${id} has ${shown.rows_done} rows done and ${billed} billed`)
  }
  if (state === 'canceled' && cancel) return found.completed(job)
  if (state !== 'done') return found.lost(`job ${id} is ${state}: ${JSON.stringify(shown.error)}`)
  if (shown.rows_done !== file.rows || shown.rows_failed !== 1) {
    return found.lost(`job ${id} did ${shown.rows_done} rows of ${file.rows}`)
  }
  const path = `/v1/jobs/${id}/results`
  const reply = await client.once({ key: key.secret, method: 'GET', path })
  const wrong = reply.status === 200 ? wrongLines(reply.body.toString(), file.seed, file.rows) : -1
  if (wrong !== 0) return found.lost(`job ${id}: ${wrong} wrong lines, status ${reply.status}`)
  found.completed(job)
}

/** Uploads, versions, keys and aliases: still there, and what they were. */
async function checkStored(client: Client, book: Book, found: Findings): Promise<void> {
  for (const upload of book.uploads) {
    if (found.isGood(upload)) continue
    const shown = await get(client, upload.key.secret, `/v1/uploads/${upload.id}`)
    if (isSame(upload, shown)) found.completed(upload)
    else found.lost(`upload ${upload.id}: ${JSON.stringify(shown)}`)
  }
  for (const published of book.versions) {
    if (found.isGood(published)) continue
    const { tenant, model, version, digest } = published
    const path = `/v1/registry/models/${model}/versions/${version}`
    const shown = await get(client, tenant.admin, path)
    if (shown?.state === 'ready' && shown.digest === digest) found.completed(published)
    else found.lost(`version ${version} of ${model}: ${JSON.stringify(shown)}`)
  }
  for (const issued of book.keys) {
    if (found.isGood(issued)) continue
    const { key, ask } = issued
    const self = await get(client, key.secret, '/v1/whoami')
    const again = await client.insist(ask)
    if (self?.key.id === key.id && again.key === key.secret && again.id === key.id)
      found.completed(issued)
    else found.lost(`key ${key.id}: works as ${self?.key.id}, issued again as ${again.id}`)
  }
  for (const { tenant, model, alias, may } of book.aliases.values()) {
    const shown = await get(client, tenant.admin, `/v1/registry/models/${model}`)
    if (!may.includes(shown?.aliases[alias])) {
      found.lost(`alias ${alias} of ${model} points at ${shown?.aliases[alias]}, not ${may}`)
    }
  }
  for (const flip of book.flips) if (!found.isGood(flip)) found.completed(flip)
}

function isSame({ file }: Upload, shown: Json): boolean {
  return shown?.state === 'complete' && shown.sha256 === file.sha256 && shown.size === file.size
}

/** One receipt for each work; also for that whose reply was lost, and never more than was asked for. */
function checkOnce(book: Book, readers: Reader[], found: Findings): void {
  const extra = new Map<string, number>()
  for (const reader of readers) {
    for (const [work, receipts] of reader.byWork) {
      const [first] = receipts
      if (receipts.length > 1) found.billedTwice(work, receipts.length - 1)
      if (first!.kind !== 'online' || book.predictions.has(work)) continue
      extra.set(first!.key, (extra.get(first!.key) ?? 0) + 1)
    }
  }
  for (const [key, times] of extra) {
    const unanswered = book.unanswered.get(key) ?? 0
    if (times > unanswered) {
      found.billedTwice(
        `key ${key}: ${times} receipts for ${unanswered} predictions without an answer`,
        times - unanswered,
      )
    }
  }
}

async function checkTotals(client: Client, reader: Reader, found: Findings): Promise<void> {
  const { tenant, sums } = reader
  const path = '/v1/usage?group_by=model,key'
  const { total } = await client.insist<Json>({ key: tenant.admin, method: 'GET', path })
  await reader.read()
  const differs = ['receipts' as const, ...SUMMED].filter(name => total[name] !== sums[name])
  for (const name of differs) {
    found.unbilled(
      `usage of ${tenant.name} says ${total[name]} ${name}, its receipts ${sums[name]}`,
    )
  }
  if (reader.gaps > 0) found.unbilled(`${reader.gaps} gaps in the ledger of ${tenant.name}`)
}

function agesOf({ ackedAt }: Prediction, cuts: number[]): string {
  const next = cuts.find(cut => cut > ackedAt)
  return next === undefined
    ? ''
    : `, answered ${Math.round(next - ackedAt)} ms before the power failed`
}

function mayBeLost({ ackedAt }: Prediction, cuts: number[]): boolean {
  return cuts.some(cut => ackedAt > cut - UNSYNCED_MS && ackedAt < cut + IN_FLIGHT_MS)
}

function worksOf(reader: Reader, jobId: string) {
  return new Map([...reader.byWork].filter(([work]) => work.startsWith(`${jobId}/`)))
}

function readerOf(readers: Reader[], tenant: Tenant): Reader {
  return readers.find(reader => reader.tenant === tenant)!
}

/** The same tags in the order that the other side has them. */
function sorted(order: Record<string, string>, tags: Record<string, string>) {
  return Object.fromEntries(Object.keys(order).map(name => [name, tags[name]]))
}

async function get(client: Client, key: string, path: string): Promise<Json> {
  return client.insist({ key, method: 'GET', path }).catch(error => {
    if (error instanceof Refused && error.status === 404) return null
    throw error
  })
}
