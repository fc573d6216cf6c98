/** Uploads that are completed: small ones while their caller waits, large ones by the queue. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Call } from '#core/caller.ts'
import type { Message } from '#core/deps.ts'
import { AppError, inFull } from '#core/error.ts'
import * as models from '#core/models/models.ts'
import type { TenantId, UploadId } from '#schemas/ids.ts'
import { QUEUES } from '#schemas/queues.ts'
import type { FunctionsDeps } from '../deps.ts'
import { inTenant, type OfTenant } from '../in-tenant.ts'
import { tracedBatch } from '../traces/batches.ts'

/** Well below what a gateway waits. */
const AT_ONCE_MS_MAX = 20_000
const WAIT_S = 20
const PAUSE_MS = 500
/** Several times in the minute for which a message is hidden. */
const HOLD_MS = 15_000
/** The longest pause before one that could not be verified is tried again. */
const AGAIN_S_MAX = 300

type Shown = models.uploads.ShownUpload

/** A small one as it ended, a large one `verifying`: the edge waits for that. Throws what is wrong with the parts. */
export async function completeUpload(
  deps: FunctionsDeps,
  call: Call,
  input: { upload_id: string },
  atOnceMsMax = AT_ONCE_MS_MAX,
): Promise<Shown> {
  const { tenantId } = call.caller
  const found = await deps.db.tenant(tenantId, tx => models.uploads.find({ tx }, input.upload_id))
  const isSmall = found.size <= models.verification.AT_ONCE_BYTES_MAX
  if (found.state !== 'verifying' && isSmall) {
    const verified = models.verification.verifyAtOnce(deps, tenantId, found.id)
    // Of very many parts, or from a slow store, few bytes take long too: then the queue does it as well.
    const ended = await Promise.race([verified, sleep(atOnceMsMax, null, { ref: false })])
    if (ended) return ended
    verified.catch(() => {})
  }
  return inTenant(deps, call.caller, unit => models.verification.begin(unit, call, input))
}

/** As it is now. Throws what is wrong with its parts. */
export async function uploadVerified(
  deps: FunctionsDeps,
  asked: OfTenant<{ uploadId: UploadId }>,
): Promise<Shown> {
  const upload = await inTenant(deps, asked, unit => models.uploads.find(unit, asked.uploadId))
  const { error } = upload
  if (error) throw new AppError(error.code, { public: error.detail })
  return models.uploads.shown(upload)
}

type Deps = Pick<
  FunctionsDeps,
  'db' | 'queue' | 'blobs' | 'clock' | 'log' | 'measures' | 'tracer' | 'queueSystem'
>
/** Hears which messages have done their part, and need not come again. */
type Taken = (messages: Message[]) => Promise<void>

/** Takes what there is, until the signal fires. */
export async function verifyQueue(deps: FunctionsDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const options = { max: QUEUES.uploads.batchMax, waitS: WAIT_S, signal }
      const messages = await deps.queue.receive('uploads', options)
      const receipts = (taken: Message[]) => taken.map(({ receipt }) => receipt)
      await verifyUploads(deps, messages, taken => deps.queue.delete('uploads', receipts(taken)))
    } catch (error) {
      if (signal.aborted) return
      deps.log.error('uploads.not_received', { error: String(error) })
      await sleep(PAUSE_MS, undefined, { signal }).catch(() => {})
    }
  }
}

/**
 * One after the other. One that could not be verified now comes again after a while, and one that nobody can
 * read ends among the dead.
 */
export async function verifyUploads(deps: Deps, messages: Message[], taken: Taken): Promise<void> {
  if (messages.length === 0) return
  const { tracer, queueSystem: system, measures } = deps
  await tracedBatch(tracer, { queue: 'uploads', system, messages }, async () => {
    let handled = 0
    for (const message of messages) {
      if (!(await verified(deps, message))) continue
      await taken([message])
      handled++
    }
    const failed = messages.length - handled
    measures?.messages('uploads', { handled, failed })
    return { failed }
  })
}

async function verified(deps: Deps, message: Message): Promise<boolean> {
  const began = performance.now()
  const { tenantId: tenant, uploadId: upload } = readable(message) ?? {}
  try {
    if (!tenant || !upload) throw new Error('it must name a tenant and an upload')
    const { state, error } = await holding(deps, message, () =>
      models.verification.verify(deps, tenant, upload),
    )
    const ms = Math.round(performance.now() - began)
    deps.log.info('uploads.verified', { tenant, upload, state, ms, ...(error && { found: error }) })
    return true
  } catch (error) {
    const fields = { tenant, upload, message: message.id, error: inFull(error) }
    deps.log.error('uploads.not_verified', fields)
    const againS = Math.min(AGAIN_S_MAX, 2 ** message.receiveCount)
    await deps.queue.extend('uploads', message.receipt, againS).catch(() => {})
    return false
  }
}

/**
 * Keeps the message hidden for a little longer at a time: when who works on it has died it comes back soon, also
 * where an event source had to hide it for six times as long as the function may take.
 */
async function holding<T>(deps: Deps, { receipt }: Message, work: () => Promise<T>): Promise<T> {
  const hold = () =>
    deps.queue.extend('uploads', receipt, QUEUES.uploads.visibilityS).catch(error => {
      deps.log.error('uploads.not_held', { error: String(error) })
    })
  let held = hold()
  const timer = setInterval(() => {
    held = hold()
  }, HOLD_MS)
  try {
    return await work()
  } finally {
    clearInterval(timer)
    // A frozen process does nothing: nothing may be left to do.
    await held
  }
}

type Named = { tenantId: TenantId; uploadId: UploadId }

function readable({ body }: Message): Named | null {
  try {
    const { tenantId, uploadId } = JSON.parse(body)
    return typeof tenantId === 'string' && typeof uploadId === 'string'
      ? { tenantId: tenantId as TenantId, uploadId: uploadId as UploadId }
      : null
  } catch {
    return null
  }
}
