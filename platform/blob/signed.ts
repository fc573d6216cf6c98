/**
 * Blobs by signed requests: who may use the store signs one request at a time, for one key and, where
 * bytes are written, for exactly their number and SHA-256; who may not sends them there itself. Web APIs
 * alone: the edge takes it into its bundle.
 */
import type { BlobInfo, BlobPart, Blobs, Bytes } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { HeldBytes } from '#core/held-bytes.ts'
import { checkKey, checkPart, cutRange } from './key.ts'
import { inPieces, piecesOf, streamOf } from './wire.ts'

/** Held at a time of what has no declared size and digest. */
const PIECE_BYTES = 8_388_608
const SHA256_METADATA = 'x-amz-meta-sha256'

export type Measured = { size: number; sha256: string }
export type SignedRequest = { url: string; headers: Record<string, string> }
export type ToSign =
  | { do: 'read'; key: string }
  | ({ do: 'write'; key: string } & Measured)
  | ({ do: 'writePart'; key: string; number: number } & Measured)
/** `null`: of no blob, and so to be removed. */
export type ToJoin = { key: string | null; pieces: string[]; sha256?: string; sizeMax?: number }

export type SignedBlobsOptions = {
  sign(request: ToSign): Promise<SignedRequest>
  /** Makes one blob of several and removes them, where bytes are too many to be held. */
  join(blobs: ToJoin): Promise<BlobInfo | null>
  fetch?: (request: Request) => Promise<Response>
  /** Where pieces are counted for as long as they are held. */
  held?: HeldBytes
}

/** Throws what signing throws, `digest_mismatch`, `payload_too_large`, and a retryable `unavailable`. */
export function signedBlobs(o: SignedBlobsOptions): Pick<Blobs, 'put' | 'putPart' | 'get'> {
  const ask = o.fetch ?? (request => fetch(request))

  async function send(method: string, to: SignedRequest, init: RequestInit = {}) {
    const headers = new Headers(to.headers)
    for (const [name, value] of new Headers(init.headers)) headers.set(name, value)
    try {
      return await ask(new Request(to.url, { ...init, method, headers }))
    } catch (cause) {
      throw unavailable(`blobs, ${method}: ${cause}`, cause)
    }
  }

  async function store(to: ToSign & Measured, body: Uint8Array | AsyncIterable<Uint8Array>) {
    const signed = await o.sign(to)
    const source = body instanceof Uint8Array ? { body, failure: {} } : counted(body, to.size)
    // `duplex` is what Node wants for a stream; the types of Workers do not know it.
    const init = { body: source.body, duplex: 'half' } as RequestInit
    const response = await send('PUT', signed, init).catch(error => {
      throw (source.failure as { error?: unknown }).error ?? error
    })
    if (!response.ok) throw await refusal(response)
    await response.body?.cancel()
  }

  async function holding<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    const holder = {}
    try {
      o.held?.hold(holder, bytes)
      return await work()
    } finally {
      o.held?.release(holder)
    }
  }

  async function whole(body: Bytes, size: number | undefined, bytesMax: number) {
    const first = await inPieces(body, bytesMax + 1, size).next()
    const bytes = first.value ?? new Uint8Array()
    if (bytes.byteLength > bytesMax) throw tooLarge(bytesMax)
    if (size !== undefined && bytes.byteLength !== size) throw otherSize(bytes.byteLength, size)
    return bytes
  }

  async function putWhole(
    key: string,
    body: Bytes,
    { sha256, sizeMax }: { sha256?: string; sizeMax?: number } = {},
  ): Promise<BlobInfo> {
    checkKey(key)
    const pieces: string[] = []
    let size = 0
    try {
      for await (const bytes of inPieces(body, PIECE_BYTES)) {
        size += bytes.byteLength
        if (sizeMax !== undefined && size > sizeMax) throw tooLarge(sizeMax)
        const isWhole = pieces.length === 0 && bytes.byteLength < PIECE_BYTES
        const to = isWhole ? key : pieceOf(key)
        const measured = await measure(bytes, isWhole ? sha256 : undefined)
        if (!isWhole) pieces.push(to)
        await store({ do: 'write', key: to, ...measured }, bytes)
        if (isWhole) return { key, ...measured }
      }
      if (pieces.length > 0) return (await o.join({ key, pieces, sha256, sizeMax }))!
    } catch (error) {
      if (pieces.length > 0) await o.join({ key: null, pieces }).catch(() => {})
      throw error
    }
    const nothing = new Uint8Array()
    const measured = await measure(nothing, sha256)
    await store({ do: 'write', key, ...measured }, nothing)
    return { key, ...measured }
  }

  return {
    async putPart(uploadKey, number, body, { sha256, size, sizeMax = PIECE_BYTES } = {}) {
      checkPart(uploadKey, number)
      if (size !== undefined && size > sizeMax) throw tooLarge(sizeMax)
      const to = { do: 'writePart', key: uploadKey, number } as const
      if (size !== undefined && sha256 !== undefined) {
        await store({ ...to, size, sha256 }, body)
        return { number, size, sha256 } satisfies BlobPart
      }
      return holding(size ?? sizeMax, async () => {
        const bytes = await whole(body, size, sizeMax)
        const measured = await measure(bytes, sha256)
        await store({ ...to, ...measured }, bytes)
        return { number, ...measured }
      })
    },
    put: (key, body, how) => holding(PIECE_BYTES, () => putWhole(key, body, how)),
    async get(key, range) {
      checkKey(key)
      const isEmpty = range && cutRange(Number.MAX_SAFE_INTEGER, range).start === range.end
      // One byte tells the size and the digest as well as none would.
      const { start, end } = range && isEmpty ? { start: 0, end: 1 } : (range ?? {})
      const headers = new Headers()
      if (start !== undefined) headers.set('range', `bytes=${start}-${end! - 1}`)
      const response = await send('GET', await o.sign({ do: 'read', key }), { headers })
      if (response.ok && !isEmpty) {
        return { info: infoOf(key, response), body: piecesOf(response.body) }
      }
      if (response.ok) {
        await response.body?.cancel()
        return { info: infoOf(key, response), body: piecesOf(null) }
      }
      if (response.status === 404) return null
      if (response.status !== 416) throw await refusal(response)
      await response.body?.cancel()
      const there = await send('GET', await o.sign({ do: 'read', key }))
      if (there.status === 404) return null
      if (!there.ok) throw await refusal(there)
      await there.body?.cancel()
      return { info: infoOf(key, there), body: piecesOf(null) }
    },
  }
}

/** Beside the blobs, where what a process left that died is removed after days. */
function pieceOf(key: string): string {
  return `pieces/${key.split('/')[0]}/${crypto.randomUUID()}`
}

/** A stream of exactly so many bytes. What the source threw is kept aside: `fetch` tells only that it failed. */
function counted(body: AsyncIterable<Uint8Array>, size: number) {
  const failure: { error?: unknown } = {}
  async function* pieces() {
    let sent = 0
    try {
      for await (const piece of body) {
        sent += piece.byteLength
        if (sent > size) break
        yield piece
      }
      if (sent === size) return
      throw otherSize(sent, size)
    } catch (error) {
      failure.error = error
      throw error
    }
  }
  const stream = streamOf(pieces())
  // Workers send a length only with a stream that has one; Node takes it from the header.
  const { FixedLengthStream } = globalThis as {
    FixedLengthStream?: new (n: number) => TransformStream
  }
  return {
    body: FixedLengthStream ? stream.pipeThrough(new FixedLengthStream(size)) : stream,
    failure,
  }
}

async function measure(bytes: Uint8Array<ArrayBuffer>, declared?: string): Promise<Measured> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  const sha256 = Array.from(digest, byte => byte.toString(16).padStart(2, '0')).join('')
  if (declared !== undefined && declared !== sha256) {
    throw new AppError('digest_mismatch', {
      public: `The bytes have the SHA-256 ${sha256}; ${declared} was declared.`,
    })
  }
  return { size: bytes.byteLength, sha256 }
}

function infoOf(key: string, response: Response): BlobInfo {
  const range = response.headers.get('content-range')
  const size = Number(range ? range.split('/')[1] : response.headers.get('content-length'))
  return { key, size, sha256: response.headers.get(SHA256_METADATA) ?? '' }
}

/** As S3 says it: a code in XML. */
async function refusal(response: Response): Promise<AppError> {
  const text = await response.text()
  const code = /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? String(response.status)
  const internal = `the blob store answered ${response.status} ${code}`
  if (/BadDigest|ContentSHA256Mismatch|ChecksumMismatch|InvalidDigest/.test(code)) {
    const said = 'The bytes do not have the SHA-256 that was declared.'
    return new AppError('digest_mismatch', { public: said, internal })
  }
  if (response.status >= 500 || response.status === 429) return unavailable(internal)
  return new AppError('internal', { internal })
}

function otherSize(found: number, declared: number): AppError {
  const said = found > declared ? 'more than' : `only ${found} of`
  return new AppError('invalid_request', {
    public: `The body has ${said} the ${declared} bytes that were declared.`,
  })
}

function tooLarge(sizeMax: number): AppError {
  return new AppError('payload_too_large', {
    public: `At most ${sizeMax} bytes are possible here.`,
  })
}

function unavailable(internal: string, cause?: unknown): AppError {
  return new AppError('unavailable', {
    public: 'The blob store cannot be reached now. Try again in a moment.',
    internal,
    retryable: true,
    cause,
  })
}
