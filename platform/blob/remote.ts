/** The client's half of blobs over HTTP. Web APIs alone: the edge takes it into its bundle. */
import type { BlobInfo, BlobPart, Bytes } from '#core/deps.ts'
import { AppError, fromProblem } from '#core/error.ts'
import { checkKey, checkPart, checkPrefix, cutRange } from './key.ts'
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

export type { RemoteBlobs } from './wire.ts'

export type RemoteBlobsOptions = {
  /** Of `serveBlobs`, its path included, without a slash at the end. */
  url: string
  fetch?: (request: Request) => Promise<Response>
  /** Adds what proves who asks. The body may be a stream, which is not to be read here. */
  sign?: (request: Request) => Request | Promise<Request>
}
type Limits = { sha256?: string; sizeMax?: number; size?: number }

/** Throws what the other side threw, and a retryable `unavailable` when nobody answered. */
export function remoteBlobs(o: RemoteBlobsOptions): RemoteBlobs {
  const send = sender(o)
  // Checked before it becomes a URL, which would resolve `..` by itself; what passes needs no encoding.
  const path = (kind: string, key: string) => {
    checkKey(key)
    return kind + key
  }

  async function put<T>(to: string, body: Bytes, limits: Limits = {}): Promise<T> {
    const headers = new Headers()
    if (limits.sha256 !== undefined) headers.set(DECLARED_HEADER, limits.sha256)
    if (limits.sizeMax !== undefined) headers.set(SIZE_MAX_HEADER, String(limits.sizeMax))
    if (limits.size !== undefined) headers.set(SIZE_DECLARED_HEADER, String(limits.size))
    const response = await send('PUT', to, { headers, body })
    return (await response.json()) as T
  }

  async function head(key: string): Promise<BlobInfo | null> {
    const response = await send('HEAD', path(BLOB_PATH, key), { takes: [404] })
    return response.ok ? infoOf(key, response) : null
  }

  return {
    head,
    put: async (key, body, limits) => put<BlobInfo>(path(BLOB_PATH, key), body, limits),
    async get(key, range) {
      if (range && cutRange(Number.MAX_SAFE_INTEGER, range).start === range.end) {
        const info = await head(key)
        return info && { info, body: piecesOf(null) }
      }
      const headers = new Headers()
      if (range) headers.set('range', `bytes=${range.start}-${range.end - 1}`)
      const response = await send('GET', path(BLOB_PATH, key), { headers, takes: [404, 416] })
      if (response.ok) return { info: infoOf(key, response), body: piecesOf(response.body) }
      await response.body?.cancel()
      if (response.status === 404) return null
      return { info: infoOf(key, response), body: piecesOf(null) }
    },
    async delete(key) {
      await send('DELETE', path(BLOB_PATH, key))
    },
    async list(prefix, options = {}) {
      checkPrefix(prefix)
      const query = new URLSearchParams({ prefix })
      if (options.after !== undefined) query.set('after', options.after)
      if (options.max !== undefined) query.set('max', String(options.max))
      const response = await send('GET', `${LIST_PATH}?${query}`)
      return ((await response.json()) as { blobs: BlobInfo[] }).blobs
    },
    async putPart(uploadKey, number, body, limits) {
      checkPart(uploadKey, number)
      return put<BlobPart>(`${path(UPLOAD_PATH, uploadKey)}?part=${number}`, body, limits)
    },
    async listParts(uploadKey) {
      const response = await send('GET', path(UPLOAD_PATH, uploadKey))
      return ((await response.json()) as { parts: BlobPart[] }).parts
    },
    async completeUpload(uploadKey, key, { size, sha256 }) {
      const query = new URLSearchParams({ key, size: String(size), sha256 })
      const response = await send('POST', `${path(UPLOAD_PATH, uploadKey)}?${query}`)
      return (await response.json()) as BlobInfo
    },
    async abortUpload(uploadKey) {
      await send('DELETE', path(UPLOAD_PATH, uploadKey))
    },
  }
}

type Sent = { headers?: Headers; body?: Bytes; takes?: number[] }

function sender(o: RemoteBlobsOptions) {
  const ask = o.fetch ?? (request => fetch(request))
  const sign = o.sign ?? (request => request)
  return async (method: string, path: string, sent: Sent = {}): Promise<Response> => {
    const source = sent.body === undefined ? undefined : watched(sent.body)
    // `duplex` is what Node wants for a stream; the types of Workers do not know it.
    const init: RequestInit & { duplex?: 'half' } = { method, headers: sent.headers }
    if (source) {
      init.body = source.body as RequestInit['body']
      init.duplex = 'half'
    }
    let response: Response
    try {
      response = await ask(await sign(new Request(o.url + path, init)))
    } catch (error) {
      if (source?.failure.error) throw source.failure.error
      throw unreachable(method, error)
    }
    if (response.ok || sent.takes?.includes(response.status)) return response
    throw await faultOf(response)
  }
}

/** The body for `fetch`, which tells only that something failed: what the source threw is kept aside. */
function watched(body: Bytes) {
  const failure: { error?: unknown } = {}
  if (body instanceof Uint8Array || body instanceof ReadableStream) return { body, failure }
  async function* pieces(source: AsyncIterable<Uint8Array>) {
    try {
      yield* source
    } catch (error) {
      failure.error = error
      throw error
    }
  }
  return { body: streamOf(pieces(body)), failure }
}

function infoOf(key: string, response: Response): BlobInfo {
  const size = Number(response.headers.get(SIZE_HEADER))
  return { key, size, sha256: response.headers.get(SHA256_HEADER) ?? '' }
}

async function faultOf(response: Response): Promise<AppError> {
  const retryable = response.status === 503 || response.status === 507
  // A HEAD has no body; what stands between the two halves may answer with a page.
  const body = await response.json().catch(() => ({}))
  const { code, public: text, errors } = fromProblem(body)
  return new AppError(code, {
    public: text,
    errors,
    retryable,
    internal: `blobs answered ${response.status} ${code}`,
  })
}

function unreachable(method: string, error: unknown): AppError {
  const cause = error instanceof Error && error.cause ? error.cause : error
  return new AppError('unavailable', {
    public: 'The blob store cannot be reached now. Try again in a moment.',
    internal: `blobs ${method}: ${cause instanceof Error ? cause.message : cause}`,
    retryable: true,
    cause: error,
  })
}
