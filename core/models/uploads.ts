/**
 * Uploads: a file comes in parts of any size up to 32 MiB, in any order, and counts only when its
 * digest, declared first, is verified. The parts stand in the blob store, which alone knows them.
 */
import { and, eq } from 'drizzle-orm'
import * as blobKeys from '#core/blob-keys.ts'
import type { Call } from '#core/caller.ts'
import type { Blobs, Clock, Database, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { PART_BYTES_MAX } from '#schemas/contracts/models.ts'
import { isId, newId, type UploadId } from '#schemas/ids.ts'
import { files, uploads } from '#schemas/tables/models.ts'

const PARTS_MAX = 10_000

export type Upload = typeof uploads.$inferSelect
export type ShownUpload = ReturnType<typeof shown>

/** Begins an upload. A file that the tenant has already is complete at once. */
export async function create(unit: Unit, call: Call, input: { sha256: string; size: number }) {
  const { tenantId } = call.caller
  const known = await fileOf(unit, input.sha256)
  const complete = known?.size === input.size
  const now = new Date(unit.clock.now())
  const [upload] = await unit.tx
    .insert(uploads)
    .values({
      tenantId,
      id: newId('upload', unit.clock.now()),
      sha256: input.sha256,
      size: input.size,
      state: complete ? 'complete' : 'open',
      createdAt: now,
      completedAt: complete ? now : null,
    })
    .returning()
  return shown(upload!)
}

type UploadDeps = { db: Database; blobs: Blobs; clock: Clock }

export async function get(deps: UploadDeps, call: Call, input: { upload_id: string }) {
  const { tenantId } = call.caller
  const upload = await deps.db.tenant(tenantId, tx => find({ tx }, input.upload_id))
  const isTaking = upload.state === 'open' || upload.state === 'failed'
  const parts = isTaking ? await deps.blobs.listParts(blobKeys.upload(tenantId, upload.id)) : []
  return shown(upload, parts)
}

/** Where a part may be written, for the place that holds the bytes. */
export async function grantPart(
  unit: Unit,
  call: Call,
  input: { upload_id: string; number: string },
): Promise<{ uploadKey: string; number: number; sizeMax: number }> {
  const upload = await find(unit, input.upload_id)
  const number = /^[1-9][0-9]{0,4}$/.test(input.number) ? Number(input.number) : Infinity
  if (number > PARTS_MAX) {
    throw new AppError('invalid_request', {
      public: `Parts are numbered from 1 to ${PARTS_MAX}; "${input.number}" is none of these.`,
    })
  }
  if (upload.state === 'complete' || upload.state === 'verifying') {
    const what = upload.state === 'complete' ? 'complete' : 'being verified'
    throw new AppError('conflict', { public: `This upload is ${what} and takes no more parts.` })
  }
  if (upload.state === 'failed') {
    await unit.tx
      .update(uploads)
      .set({ state: 'open', error: null })
      .where(and(eq(uploads.id, upload.id), eq(uploads.state, 'failed')))
  }
  return {
    uploadKey: blobKeys.upload(call.caller.tenantId, upload.id),
    number,
    sizeMax: Math.min(PART_BYTES_MAX, upload.size),
  }
}

/** A complete file of the tenant, by digest. */
export async function fileOf(unit: Pick<Unit, 'tx'>, sha256: string) {
  const [file] = await unit.tx.select().from(files).where(eq(files.sha256, sha256))
  return file
}

/** Throws `not_found`. `lock`: no other transaction changes it before this one ends. */
export async function find(unit: Pick<Unit, 'tx'>, id: string, lock = false): Promise<Upload> {
  const asked = unit.tx
    .select()
    .from(uploads)
    .where(eq(uploads.id, id as UploadId))
  const [row] = isId('upload', id) ? await (lock ? asked.for('update') : asked) : []
  if (!row) throw new AppError('not_found', { public: 'There is no upload with this id.' })
  return row
}

export function shown(
  upload: Upload,
  parts: { number: number; size: number; sha256: string }[] = [],
) {
  return {
    id: upload.id,
    sha256: upload.sha256,
    size: upload.size,
    state: upload.state,
    error: upload.error,
    part_bytes_max: PART_BYTES_MAX,
    parts,
    created_at: upload.createdAt.toISOString(),
  }
}
