/**
 * Verification of uploads: the parts become a file when their digest is what was declared. Whoever does it may
 * die at any step; the next one finds all of the parts, or the finished blob.
 */
import { and, eq } from 'drizzle-orm'
import * as blobKeys from '#core/blob-keys.ts'
import type { Call } from '#core/caller.ts'
import type { Blobs, Clock, Database, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import * as outbox from '#core/outbox.ts'
import type { TenantId, UploadId } from '#schemas/ids.ts'
import { files, uploads } from '#schemas/tables/models.ts'
import { find, type ShownUpload, shown, type Upload } from './uploads.ts'

/** So few bytes are read and joined within a second or two: no queue is asked. */
export const AT_ONCE_BYTES_MAX = 64 * 1024 ** 2
/** After so long whoever completes it once more asks again, should its message be among the dead. */
const ASKED_MS = 600_000
/** What is wrong with the parts, and stays so until one is sent again. */
const OF_PARTS: readonly string[] = ['digest_mismatch', 'conflict', 'not_found']

type Deps = { db: Database; blobs: Blobs; clock: Clock }

/** From now on the parts do not change, and a message says that they wait. */
export async function begin(
  unit: Unit,
  call: Call,
  input: { upload_id: string },
): Promise<ShownUpload> {
  const upload = await find(unit, input.upload_id, true)
  const now = unit.clock.now()
  if (upload.state === 'complete') return shown(upload)
  const askedAt = upload.askedAt?.getTime() ?? 0
  if (upload.state === 'verifying' && now < askedAt + ASKED_MS) return shown(upload)
  const begun = {
    state: 'verifying',
    error: null,
    round: upload.round + 1,
    askedAt: new Date(now),
  } as const
  await unit.tx.update(uploads).set(begun).where(eq(uploads.id, upload.id))
  const message = { queue: 'uploads', body: { uploadId: upload.id } } as const
  await outbox.promise(unit, call.caller.tenantId, [message])
  return shown({ ...upload, ...begun })
}

/**
 * Joins the parts and verifies them while a caller waits; what fails changes nothing. Throws `not_found` and
 * `conflict` for parts that are not there, `digest_mismatch`, and what the store throws.
 */
export async function verifyAtOnce(
  deps: Deps,
  tenantId: TenantId,
  id: UploadId,
): Promise<ShownUpload> {
  const upload = await deps.db.tenant(tenantId, tx => find({ tx }, id))
  return upload.state === 'complete' ? shown(upload) : join(deps, upload)
}

/**
 * The same for the queue: what is wrong with the parts is kept in the row. Throws what may pass by itself. An
 * upload that does not wait for it, or no longer, stays as it is.
 */
export async function verify(deps: Deps, tenantId: TenantId, id: UploadId): Promise<ShownUpload> {
  const upload = await deps.db.tenant(tenantId, tx => find({ tx }, id))
  if (upload.state !== 'verifying') return shown(upload)
  try {
    return await join(deps, upload)
  } catch (error) {
    const isOfParts = error instanceof AppError && OF_PARTS.includes(error.code)
    if (!isOfParts || error.retryable) throw error
    const failed = { state: 'failed', error: { code: error.code, detail: error.public } } as const
    // Only of the round that was tried: the parts of a later one are others.
    const tried = and(
      eq(uploads.id, id),
      eq(uploads.state, 'verifying'),
      eq(uploads.round, upload.round),
    )
    await deps.db.tenant(tenantId, tx => tx.update(uploads).set(failed).where(tried))
    return shown({ ...upload, ...failed })
  }
}

/** Each of its steps may be the last, and all of them be done again. */
async function join(deps: Deps, upload: Upload): Promise<ShownUpload> {
  const { tenantId, id, sha256, size } = upload
  const from = blobKeys.upload(tenantId, id)
  await deps.blobs.completeUpload(from, blobKeys.file(tenantId, sha256), { sha256, size })
  const completedAt = new Date(deps.clock.now())
  // Whatever was said of it meanwhile: the bytes are there.
  const complete = { state: 'complete', error: null, completedAt } as const
  await deps.db.tenant(tenantId, async tx => {
    await tx.insert(files).values({ tenantId, sha256, size }).onConflictDoNothing()
    await tx.update(uploads).set(complete).where(eq(uploads.id, id))
  })
  return shown({ ...upload, ...complete })
}
