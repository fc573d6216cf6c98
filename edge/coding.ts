/** Content codings of bodies (RFC 9110 §8.4): gzip, and deflate in zlib's form. By Web standards alone. */
import { joined } from '#core/bytes.ts'
import { AppError } from '#core/error.ts'

export const CODINGS = ['gzip', 'deflate'] as const
export type Coding = (typeof CODINGS)[number]

/**
 * One coding and no other: what a client sends that wants the reply in it. Most that list several merely
 * can read them, and pay for a slower answer with every request; a network in front sees to those.
 */
const ASKED = /^\s*(gzip|deflate)\s*(?:;\s*q=(?!0(?:\.0*)?\s*$)[\d.]+\s*)?$/i

/** What a body is wrapped in; null: nothing. Throws `unsupported_media_type`. */
export function codingOf(header: string | undefined): Coding | null {
  if (header === undefined) return null
  const name = header.trim().toLowerCase()
  if (name === '' || name === 'identity') return null
  if (name === 'gzip' || name === 'deflate') return name
  throw new AppError('unsupported_media_type', {
    public: `Content-Encoding "${header}" is not taken here: send the body as gzip, as deflate, or as it is.`,
  })
}

/** The coding that `Accept-Encoding` asks a reply to be in; null: as it is. */
export function codingAskedBy(header: string | undefined): Coding | null {
  if (header === undefined) return null
  const found = ASKED.exec(header)
  return found ? (found[1]!.toLowerCase() as Coding) : null
}

/** Throws `invalid_request` for bytes that are not so coded, `payload_too_large` as soon as they are more. */
export async function decode(
  body: Uint8Array,
  coding: Coding,
  bytesMax: number,
  /** Hears how much there is so far; what it throws ends it. */
  held?: (bytes: number) => void,
): Promise<Uint8Array> {
  try {
    return await through(new DecompressionStream(coding), body, bytesMax, held)
  } catch (cause) {
    if (cause instanceof AppError) throw cause
    throw new AppError('invalid_request', {
      public: `The body is not ${coding}, as its Content-Encoding says, or it ends early.`,
      cause,
    })
  }
}

export function encode(body: Uint8Array, coding: Coding): Promise<Uint8Array> {
  return through(new CompressionStream(coding), body, Number.POSITIVE_INFINITY)
}

async function through(
  stream: CompressionStream | DecompressionStream,
  body: Uint8Array,
  bytesMax: number,
  held?: (bytes: number) => void,
): Promise<Uint8Array> {
  const writer = stream.writable.getWriter()
  // What is wrong with it is told to the reader.
  const written = writer.write(body as Uint8Array<ArrayBuffer>).then(() => writer.close())
  written.catch(() => {})
  const reader = stream.readable.getReader()
  const chunks: Uint8Array[] = []
  let size = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    size += value.length
    try {
      if (size > bytesMax) {
        throw new AppError('payload_too_large', {
          public: `The body has more than ${bytesMax} bytes when it is unpacked, the most that this route takes.`,
        })
      }
      held?.(size)
    } catch (error) {
      await reader.cancel().catch(() => {})
      throw error
    }
    chunks.push(value)
  }
  await written
  return joined(chunks)
}
