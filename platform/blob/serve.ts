/**
 * The server's half of blobs over HTTP. It streams both ways and knows no framework; whoever mounts it
 * has checked who asks.
 */
import type { BlobInfo, Log } from '#core/deps.ts'
import { AppError, problem } from '#core/error.ts'
import {
  BLOB_PATH,
  DECLARED_HEADER,
  LIST_PATH,
  piecesOf,
  type RemoteBlobs,
  SHA256_HEADER,
  SIZE_DECLARED_HEADER,
  SIZE_HEADER,
  SIZE_MAX_HEADER,
  streamOf,
  UPLOAD_PATH,
} from './wire.ts'

/** So much of a refused body is still read: a client that is writing does not read the refusal. */
const DRAIN_BYTES_MAX = 67_108_864

/** `path` is what stands before the wire's own paths, such as `/internal/blobs`. */
export function serveBlobs(o: { blobs: RemoteBlobs; path?: string; log?: Log }) {
  return async (request: Request): Promise<Response> => {
    try {
      return await route(o.blobs, request, o.path ?? '')
    } catch (error) {
      if (!(error instanceof AppError))
        o.log?.error('blob request failed', { error: String(error) })
      const body = problem(error, request.headers.get('x-request-id') ?? '')
      return Response.json(body, { status: body.status })
    }
  }
}

async function route(blobs: RemoteBlobs, request: Request, before: string): Promise<Response> {
  const url = new URL(request.url)
  const path = url.pathname.startsWith(before) ? url.pathname.slice(before.length) : ''
  if (path === LIST_PATH) return list(blobs, url.searchParams)
  if (path.startsWith(BLOB_PATH)) return blob(blobs, request, path.slice(BLOB_PATH.length))
  if (path.startsWith(UPLOAD_PATH)) {
    return upload(blobs, request, path.slice(UPLOAD_PATH.length), url.searchParams)
  }
  throw new AppError('not_found', { public: `No blob route begins with ${url.pathname}.` })
}

async function blob(blobs: RemoteBlobs, request: Request, key: string): Promise<Response> {
  switch (request.method) {
    case 'PUT':
      return Response.json(await store(request, (body, limits) => blobs.put(key, body, limits)))
    case 'GET':
      return read(blobs, request, key)
    case 'HEAD': {
      const info = await blobs.head(key)
      return new Response(null, {
        status: info ? 200 : 404,
        headers: info ? infoHeaders(info) : {},
      })
    }
    case 'DELETE':
      await blobs.delete(key)
      return new Response(null, { status: 204 })
    default:
      throw new AppError('method_not_allowed')
  }
}

async function read(blobs: RemoteBlobs, request: Request, key: string): Promise<Response> {
  const range = parseRange(request.headers.get('range'))
  const found = await blobs.get(key, range)
  if (!found) throw new AppError('not_found', { public: `There is no blob ${key}.` })
  const { size } = found.info
  const headers = { ...infoHeaders(found.info), 'content-type': 'application/octet-stream' }
  if (range && range.start >= size) {
    await streamOf(found.body).cancel()
    const nothing = { ...headers, 'content-range': `bytes */${size}` }
    return new Response(null, { status: 416, headers: nothing })
  }
  const { start, end } = { start: range?.start ?? 0, end: Math.min(range?.end ?? size, size) }
  return new Response(streamOf(found.body), {
    status: range ? 206 : 200,
    headers: {
      ...headers,
      'content-length': String(end - start),
      ...(range && { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
    },
  })
}

async function list(blobs: RemoteBlobs, query: URLSearchParams): Promise<Response> {
  const max = query.get('max')
  const options = { after: query.get('after') ?? undefined, max: max ? Number(max) : undefined }
  return Response.json({ blobs: await blobs.list(query.get('prefix') ?? '', options) })
}

async function upload(
  blobs: RemoteBlobs,
  request: Request,
  uploadKey: string,
  query: URLSearchParams,
): Promise<Response> {
  switch (request.method) {
    case 'PUT': {
      const part = Number(query.get('part'))
      return Response.json(
        await store(request, (body, limits) => blobs.putPart(uploadKey, part, body, limits)),
      )
    }
    case 'GET':
      return Response.json({ parts: await blobs.listParts(uploadKey) })
    case 'POST': {
      const expected = { size: Number(query.get('size')), sha256: query.get('sha256') ?? '' }
      const info = await blobs.completeUpload(uploadKey, query.get('key') ?? '', expected)
      return Response.json(info)
    }
    case 'DELETE':
      await blobs.abortUpload(uploadKey)
      return new Response(null, { status: 204 })
    default:
      throw new AppError('method_not_allowed')
  }
}

async function store<T>(
  request: Request,
  put: (
    body: AsyncIterable<Uint8Array>,
    limits: { sha256?: string; sizeMax?: number },
  ) => Promise<T>,
): Promise<T> {
  const sizeMax = request.headers.get(SIZE_MAX_HEADER)
  const pieces = piecesOf(request.body)
  // Without `return`: a store that refuses would cancel the stream, and with it the connection.
  const declared = request.headers.get(SIZE_DECLARED_HEADER)
  const next = declared === null ? () => pieces.next() : counted(pieces, Number(declared))
  const body = { [Symbol.asyncIterator]: () => ({ next }) }
  try {
    return await put(body, {
      sha256: request.headers.get(DECLARED_HEADER) ?? undefined,
      sizeMax: sizeMax === null ? undefined : Number(sizeMax),
    })
  } catch (error) {
    await drain(pieces)
    throw error
  }
}

/** Fails at the end of a body that is not as long as declared: Workers end one that broke off as if it were whole. */
function counted(pieces: AsyncIterator<Uint8Array>, size: number) {
  let bytes = 0
  return async () => {
    const piece = await pieces.next()
    if (!piece.done) bytes += piece.value.byteLength
    else if (bytes !== size) {
      throw new AppError('invalid_request', {
        public: `The body ended after ${bytes} of the ${size} bytes that were declared.`,
      })
    }
    return piece
  }
}

async function drain(pieces: AsyncIterator<Uint8Array>): Promise<void> {
  try {
    for (let bytes = 0; bytes < DRAIN_BYTES_MAX; ) {
      const { done, value } = await pieces.next()
      if (done) return
      bytes += value.byteLength
    }
    await pieces.return?.()
  } catch {
    // The sender is gone: nobody reads the answer either.
  }
}

function infoHeaders(info: BlobInfo): Record<string, string> {
  return {
    [SIZE_HEADER]: String(info.size),
    [SHA256_HEADER]: info.sha256,
    etag: `"${info.sha256}"`,
    'accept-ranges': 'bytes',
  }
}

/** One range with a start; others are answered whole, as RFC 9110 allows. */
function parseRange(header: string | null): { start: number; end: number } | undefined {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(header ?? '') ?? []
  if (first === undefined) return undefined
  const start = Number(first)
  const end = last ? Number(last) + 1 : Number.MAX_SAFE_INTEGER
  return end > start ? { start, end } : undefined
}
