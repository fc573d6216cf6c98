/**
 * Uploads: the digest first, then the parts that the server does not have yet, two at a time. The
 * Idempotency-Key is made from the digest, so that whoever begins the same upload again, after a crash
 * too, is given the one that is under way, and asks it which parts have arrived.
 */
import type { Galley } from './client.ts'
import type { Upload } from './contract.generated.ts'
import { GalleyError, type GalleyErrorCode } from './error.ts'
import { sleep } from './retry.ts'

/** What can be read from any place, twice: once for its digest, once to be sent. */
export type FileSource = {
  size: number
  /** SHA-256 in hex. */
  sha256(signal?: AbortSignal): Promise<string>
  /** The bytes from `start` up to, not including, `end`. */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>
}
export type Source = Uint8Array | Blob | FileSource

/** `isVerifying`: all of it is there, and the server joins the parts and computes their digest. */
export type UploadProgress = { sent: number; total: number; isVerifying?: boolean }

export type UploadOptions = {
  onProgress?: (progress: UploadProgress) => void
  /** At most 32 MiB, what the server takes. Smaller parts lose less when a connection breaks. */
  partBytes?: number
  signal?: AbortSignal
}

const PART_BYTES = 8 * 1024 ** 2
const PARTS_AT_ONCE = 2
/** A part on a slow line, and the join of 2 GiB on a slow disk. */
const TRANSFER_TIMEOUT_MS = 600_000
const POLL_MS = 500

type Part = { number: number; start: number; end: number }

export async function upload(
  galley: Galley,
  given: Source,
  options: UploadOptions = {},
): Promise<{ sha256: string; size: number }> {
  const { signal } = options
  const source = await sourceOf(given)
  const { size } = source
  const sha256 = await source.sha256(signal)
  const open = await begin(galley, { sha256, size }, `upload-${sha256}-${size}`, signal)
  const plan = planOf(size, Math.min(options.partBytes ?? PART_BYTES, open.part_bytes_max))
  let reached: Upload = open
  if (open.state === 'open' || open.state === 'failed') {
    // Parts beyond the plan were cut to another size: they would be joined to ours.
    const foreign = open.parts.some(part => part.number > plan.length)
    const target = foreign ? await create(galley, { sha256, size }, undefined, signal) : open
    await sendParts(galley, source, target, plan, options)
    const params = { upload_id: target.id }
    const patience = { signal, timeoutMs: TRANSFER_TIMEOUT_MS, repeatable: true }
    reached = await galley.request('uploads.complete', { params }, patience)
  }
  await verified(galley, reached, options)
  options.onProgress?.({ sent: size, total: size })
  return { sha256, size }
}

type Declared = { sha256: string; size: number }

/** The upload as it stands now, which a replayed reply does not say. */
async function begin(galley: Galley, file: Declared, idempotencyKey: string, signal?: AbortSignal) {
  const created = await create(galley, file, idempotencyKey, signal)
  try {
    return await galley.request('uploads.get', { params: { upload_id: created.id } }, { signal })
  } catch (error) {
    if (!(error instanceof GalleyError && error.code === 'not_found')) throw error
    return create(galley, file, undefined, signal)
  }
}

function create(galley: Galley, body: Declared, idempotencyKey?: string, signal?: AbortSignal) {
  return galley.request('uploads.create', { body }, { idempotencyKey, signal })
}

/** Waits while the server is at it. Throws what it found wrong; the same call then sends what differs. */
async function verified(galley: Galley, reached: Upload, { signal, onProgress }: UploadOptions) {
  let upload = reached
  while (upload.state === 'verifying') {
    onProgress?.({ sent: upload.size, total: upload.size, isVerifying: true })
    await sleep(POLL_MS, signal)
    const params = { upload_id: upload.id }
    upload = await galley.request('uploads.get', { params }, { signal })
  }
  if (upload.state === 'complete') return
  const { code, detail } = upload.error ?? {
    code: 'conflict',
    detail: 'Somebody else has begun to send other parts of this upload; try again.',
  }
  throw new GalleyError(code as GalleyErrorCode, detail, { status: 422 })
}

async function sendParts(
  galley: Galley,
  source: FileSource,
  open: Upload,
  plan: Part[],
  options: UploadOptions,
): Promise<void> {
  const arrived = new Map(open.parts.map(part => [part.number, part]))
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  let sent = 0
  const waiting = plan.values()
  const worker = async () => {
    for (const { number, start, end } of waiting) {
      signal.throwIfAborted()
      const body = await source.read(start, end)
      const sha256 = await digestOf(body)
      if (arrived.get(number)?.sha256 !== sha256) {
        const params = { upload_id: open.id, number: String(number) }
        const headers = { 'galley-sha256': sha256 }
        const patience = { headers, signal, timeoutMs: TRANSFER_TIMEOUT_MS }
        await galley.request('uploads.part', { params, body }, patience)
      }
      sent += end - start
      options.onProgress?.({ sent, total: source.size })
    }
  }
  const workers = Array.from({ length: PARTS_AT_ONCE }, worker)
  try {
    await Promise.all(workers)
  } catch (error) {
    stop.abort(error)
    await Promise.allSettled(workers)
    throw error
  }
}

/** Numbered from 1. Of an empty file: one empty part. */
function planOf(size: number, partBytes: number): Part[] {
  const count = Math.max(1, Math.ceil(size / partBytes))
  return Array.from({ length: count }, (_, at) => ({
    number: at + 1,
    start: at * partBytes,
    end: Math.min(size, (at + 1) * partBytes),
  }))
}

async function sourceOf(given: Source): Promise<FileSource> {
  if ('read' in given) return given
  const copied = given instanceof Uint8Array ? given.slice() : await given.arrayBuffer()
  const bytes = new Uint8Array(copied)
  return {
    size: bytes.length,
    sha256: () => digestOf(bytes),
    read: async (start, end) => bytes.slice(start, end),
  }
}

async function digestOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(digest, byte => byte.toString(16).padStart(2, '0')).join('')
}
