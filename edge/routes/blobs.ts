/** Bytes in and out: the control API says where they stand, the edge moves them past it. */
import type { Context } from 'hono'
import { AppError } from '#core/error.ts'
import type { EdgeDeps } from '../deps.ts'

export type PartGrant = { uploadKey: string; number: number; sizeMax: number }
/** `rows` and `next`: of a file that was made for this reader, and where the one after it begins. */
export type FileGrant = {
  key: string
  size: number
  format: 'jsonl' | 'parquet'
  rows?: number
  next?: string | null
}

const CONTENT_TYPES = {
  jsonl: 'application/x-ndjson',
  parquet: 'application/vnd.apache.parquet',
} as const

export async function putPart(deps: EdgeDeps, c: Context, grant: PartGrant): Promise<Response> {
  const { uploadKey, number, sizeMax } = grant
  const sha256 = deps.http.header(c, 'galley-sha256')
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/.test(sha256)) {
    throw new AppError('invalid_request', {
      public: 'galley-sha256 must be the SHA-256 of this part in 64 hex digits.',
    })
  }
  const length = deps.http.header(c, 'content-length')
  const size = length === undefined ? undefined : Number(length)
  const body = deps.http.stream(c)
  const part = await deps.blobs.putPart(uploadKey, number, body, { sha256, sizeMax, size })
  return Response.json(part)
}

export async function getFile(deps: EdgeDeps, c: Context, grant: FileGrant): Promise<Response> {
  const range = rangeOf(deps.http.header(c, 'range'), grant.size)
  const found = await deps.blobs.get(grant.key, range ?? undefined)
  if (!found) throw new AppError('not_found', { public: 'This file is gone.' })
  const length = range ? range.end - range.start : found.info.size
  const headers: Record<string, string> = {
    'content-type': CONTENT_TYPES[grant.format],
    'content-length': String(length),
    'accept-ranges': 'bytes',
    etag: `"${found.info.sha256}"`,
  }
  if (grant.rows !== undefined) headers['galley-rows'] = String(grant.rows)
  if (grant.next) headers['galley-next-cursor'] = grant.next
  if (range) headers['content-range'] = `bytes ${range.start}-${range.end - 1}/${grant.size}`
  return new Response(streamOf(found.body), { status: range ? 206 : 200, headers })
}

/** One range of bytes (RFC 9110 §14); null for none, or for a form that may be ignored. */
function rangeOf(header: string | undefined, size: number): { start: number; end: number } | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  if (!match || (match[1] === '' && match[2] === '')) return null
  const start = match[1] === '' ? Math.max(0, size - Number(match[2])) : Number(match[1])
  const end = match[1] === '' || match[2] === '' ? size : Math.min(size, Number(match[2]) + 1)
  if (start >= end) {
    throw new AppError('range_not_satisfiable', {
      public: `The range lies outside the ${size} bytes there are.`,
    })
  }
  return { start, end }
}

function streamOf(body: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]()
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    async cancel() {
      await chunks.return?.()
    },
  })
}
