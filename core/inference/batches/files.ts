/**
 * Files of batches. Bytes and row cannot be stored in one step, so a row says first what is to come, and
 * what a process that died has left behind goes when the tenant stores the next file.
 */
import { and, asc, desc, eq, gt, inArray, isNull, lt, or } from 'drizzle-orm'
import * as blobKeys from '#core/blob-keys.ts'
import type { Call } from '#core/caller.ts'
import type { Blobs, Clock, Database, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { wrong } from '#core/inference/embeddings/embeddings.ts'
import * as jobs from '#core/jobs/jobs.ts'
import { BATCH_FILE_BYTES_MAX } from '#schemas/contracts/openai/files.ts'
import { type FileId, isId, newId, type TenantId } from '#schemas/ids.ts'
import { batchFiles, type FilePurpose } from '#schemas/tables/batch-files.ts'
import { listOf } from './listed.ts'

/** Far longer than an upload takes. */
const UPLOADING_MS_MAX = 86_400_000
const CLEARED_MAX = 20
const FILENAME_CHARS_MAX = 255
const EXPIRES_S_MIN = 3_600
const EXPIRES_S_MAX = 2_592_000

type Deps = { db: Database; blobs: Blobs; clock: Clock }
type File = typeof batchFiles.$inferSelect
/** Where the bytes of a new file go. */
export type Grant = { id: FileId; key: string; sizeMax: number }
/** What came in the form besides the bytes. */
export type Uploaded = {
  id: FileId
  size: number
  filename: string
  purpose: string | null
  expiresInS: number | null
}

export async function grant(deps: Deps, call: Call): Promise<Grant> {
  const { tenantId } = call.caller
  const now = deps.clock.now()
  await clear(deps, tenantId)
  const id = newId('file', now)
  await deps.db.tenant(tenantId, async tx => {
    const createdAt = new Date(now)
    await tx.insert(batchFiles).values({ tenantId, id, state: 'uploading', createdAt })
  })
  return { id, key: blobKeys.batchFile(tenantId, id), sizeMax: BATCH_FILE_BYTES_MAX }
}

/** The bytes are there: from now on there is such a file. Throws `invalid_request`. */
export async function store(unit: Unit, file: Uploaded) {
  const { purpose, size, expiresInS } = file
  if (purpose !== 'batch') {
    const given = purpose === null ? 'missing' : `"${purpose}"`
    throw wrong(
      'purpose',
      `"purpose" must be "batch", which is what files are for here; it is ${given}.`,
    )
  }
  if (size === 0) throw wrong('file', 'The file is empty.')
  if (expiresInS !== null && !(expiresInS >= EXPIRES_S_MIN && expiresInS <= EXPIRES_S_MAX)) {
    throw wrong(
      'expires_after.seconds',
      `A file expires after ${EXPIRES_S_MIN} to ${EXPIRES_S_MAX} seconds; this says ${expiresInS}.`,
    )
  }
  const filename = file.filename.slice(0, FILENAME_CHARS_MAX)
  const [row] = await unit.tx
    .update(batchFiles)
    .set({ state: 'ready', filename, size, expiresAt: expiryOf(unit, expiresInS) })
    .where(and(eq(batchFiles.id, file.id), eq(batchFiles.state, 'uploading')))
    .returning()
  if (!row) throw new AppError('conflict', { public: 'This upload took too long; send it again.' })
  return shown(row)
}

/** A file that a batch is about to make: known before its bytes are there, so that none are left behind. */
export async function promise(unit: Unit, tenantId: TenantId): Promise<FileId> {
  const now = unit.clock.now()
  const id = newId('file', now)
  const row = { tenantId, id, state: 'uploading', purpose: 'batch_output' } as const
  await unit.tx.insert(batchFiles).values({ ...row, createdAt: new Date(now) })
  return id
}

/** The batch has made it. */
export async function keep(
  unit: Unit,
  file: { id: FileId; size: number; filename: string; expiresInS: number | null },
): Promise<void> {
  const { id, expiresInS, ...rest } = file
  await unit.tx
    .update(batchFiles)
    .set({ ...rest, state: 'ready', expiresAt: expiryOf(unit, expiresInS) })
    .where(eq(batchFiles.id, id))
}

type Query = { purpose?: string; limit: number; order: 'asc' | 'desc'; after?: string }

export async function list(unit: Unit, { purpose, limit, order, after }: Query) {
  if (after !== undefined && !isId('file', after)) {
    throw wrong('after', `"after" must be the id of a file, not "${after}".`)
  }
  const beyond = order === 'asc' ? gt : lt
  const rows = await unit.tx
    .select()
    .from(batchFiles)
    .where(
      and(
        isThere(unit),
        purpose === undefined ? undefined : eq(batchFiles.purpose, purpose as FilePurpose),
        after === undefined ? undefined : beyond(batchFiles.id, after as FileId),
      ),
    )
    .orderBy(order === 'asc' ? asc(batchFiles.id) : desc(batchFiles.id))
    .limit(limit + 1)
  return listOf(rows.map(shown), limit)
}

export async function get(unit: Unit, { file_id }: { file_id: string }) {
  return shown(await known(unit, file_id))
}

export async function content(unit: Unit, call: Call, { file_id }: { file_id: string }) {
  const { id, size } = await known(unit, file_id)
  return { key: blobKeys.batchFile(call.caller.tenantId, id), size, format: 'jsonl' as const }
}

/** Gone at once for who asks; its bytes a moment later. Throws `in_use` while a batch reads it. */
export async function remove(deps: Deps, call: Call, { file_id }: { file_id: string }) {
  const { tenantId } = call.caller
  const id = await deps.db.tenant(tenantId, async tx => {
    const unit = { tx, clock: deps.clock }
    const row = await known(unit, file_id, true)
    if (await jobs.readsFile(unit, row.id)) {
      throw new AppError('in_use', { public: 'A batch that has not ended reads this file.' })
    }
    await tx.update(batchFiles).set({ state: 'deleted' }).where(eq(batchFiles.id, row.id))
    return row.id
  })
  await forget(deps, tenantId, id)
  return { id, object: 'file' as const, deleted: true as const }
}

/** A file that can be read; with `hold` it is there until this transaction has ended. */
export async function ready(unit: Unit, id: string, hold = false): Promise<File | undefined> {
  if (!isId('file', id)) return undefined
  const query = unit.tx
    .select()
    .from(batchFiles)
    .where(and(eq(batchFiles.id, id), isThere(unit)))
  const [row] = await (hold ? query.for('update') : query)
  return row
}

async function known(unit: Unit, id: string, hold = false): Promise<File> {
  const row = await ready(unit, id, hold)
  if (row) return row
  throw new AppError('not_found', { public: 'There is no file with this id.' })
}

function isThere({ clock }: Unit) {
  const now = new Date(clock.now())
  const lasts = or(isNull(batchFiles.expiresAt), gt(batchFiles.expiresAt, now))
  return and(eq(batchFiles.state, 'ready'), lasts)
}

/** What is left of deleted, expired and broken-off files. One that a batch still reads may have expired. */
async function clear(deps: Deps, tenantId: TenantId): Promise<void> {
  const now = deps.clock.now()
  const left = await deps.db.tenant(tenantId, async tx => {
    const unit = { tx, clock: deps.clock }
    const broken = lt(batchFiles.createdAt, new Date(now - UPLOADING_MS_MAX))
    const rows = await tx
      .select({ id: batchFiles.id })
      .from(batchFiles)
      .where(
        or(
          eq(batchFiles.state, 'deleted'),
          and(eq(batchFiles.state, 'uploading'), broken),
          and(eq(batchFiles.state, 'ready'), lt(batchFiles.expiresAt, new Date(now))),
        ),
      )
      .limit(CLEARED_MAX)
    const ids: FileId[] = []
    for (const { id } of rows) if (!(await jobs.readsFile(unit, id))) ids.push(id)
    if (ids.length > 0) {
      await tx.update(batchFiles).set({ state: 'deleted' }).where(inArray(batchFiles.id, ids))
    }
    return ids
  })
  for (const id of left) await forget(deps, tenantId, id)
}

async function forget({ db, blobs }: Deps, tenantId: TenantId, id: FileId): Promise<void> {
  await blobs.delete(blobKeys.batchFile(tenantId, id))
  await db.tenant(tenantId, tx => tx.delete(batchFiles).where(eq(batchFiles.id, id)))
}

function expiryOf({ clock }: Unit, expiresInS: number | null): Date | null {
  return expiresInS === null ? null : new Date(clock.now() + expiresInS * 1_000)
}

function shown(file: File) {
  const seconds = (at: Date) => Math.floor(at.getTime() / 1_000)
  return {
    id: file.id,
    object: 'file' as const,
    bytes: file.size,
    created_at: seconds(file.createdAt),
    expires_at: file.expiresAt && seconds(file.expiresAt),
    filename: file.filename,
    purpose: file.purpose,
    status: 'processed' as const,
  }
}
