/** Forms with files (RFC 7578), as their bytes arrive: nothing of a file is held but a piece. */
import { joined } from '#core/bytes.ts'
import { AppError } from '#core/error.ts'

export type FormPart = { name: string; filename: string | null; body: AsyncIterable<Uint8Array> }

/** What stands in front of a part, in bytes. */
const HEAD_BYTES_MAX = 8_192
const latin1 = new TextDecoder('latin1')
const utf8 = new TextDecoder()

/** Throws `unsupported_media_type` when the content type is none of a form. */
export function boundaryOf(contentType: string | undefined): string {
  const found = /^multipart\/form-data\s*;.*?\bboundary=(?:"([^"]{1,200})"|([^\s;]{1,200}))/i.exec(
    contentType ?? '',
  )
  if (found) return found[1] ?? found[2]!
  throw new AppError('unsupported_media_type', {
    public: `A file is sent as multipart/form-data; this is ${contentType ? `"${contentType}"` : 'of no type'}.`,
  })
}

/** The parts in order. Each one's body is to be read before the next is asked for. */
export async function* formParts(
  source: AsyncIterable<Uint8Array>,
  boundary: string,
): AsyncGenerator<FormPart> {
  const bytes = new Reader(source)
  // The first delimiter may begin the body; a line end before it makes all of them alike.
  bytes.unread(new Uint8Array([13, 10]))
  const delimiter = encoded(`\r\n--${boundary}`)
  for await (const _ of bytes.upTo(delimiter)) {
    // What stands before the first part is for readers of mail.
  }
  for (;;) {
    const mark = latin1.decode(await bytes.take(2))
    if (mark === '--') return
    if (mark !== '\r\n') throw broken('a delimiter is followed by neither a line end nor "--"')
    const head = utf8.decode(await bytes.line(encoded('\r\n\r\n'), HEAD_BYTES_MAX))
    yield { ...namesOf(head), body: bytes.upTo(delimiter) }
  }
}

/** A field that is no file. Throws `invalid_request` when it is longer. */
export async function textOf({ name, body }: FormPart, bytesMax: number): Promise<string> {
  let text = new Uint8Array(0)
  for await (const piece of body) {
    const whole = new Uint8Array(text.length + piece.length)
    whole.set(text)
    whole.set(piece, text.length)
    text = whole
    if (text.length > bytesMax) throw broken(`the field "${name}" is longer than ${bytesMax} bytes`)
  }
  return utf8.decode(text)
}

function namesOf(head: string): { name: string; filename: string | null } {
  const disposition = /^content-disposition\s*:\s*form-data\s*;(.*)$/im.exec(head)?.[1] ?? ''
  const value = (key: string) =>
    new RegExp(`(?:^|;)\\s*${key}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^;\\s]+))`, 'i').exec(disposition)
  const [, quoted, bare] = value('name') ?? []
  const name = quoted ?? bare
  if (name === undefined) throw broken('a part has no name')
  const [, file, plain] = value('filename') ?? []
  return { name, filename: file ?? plain ?? null }
}

function broken(what: string): AppError {
  return new AppError('invalid_request', { public: `The form cannot be read: ${what}.` })
}

const encoded = (text: string) => new TextEncoder().encode(text)

class Reader {
  readonly #chunks: AsyncIterator<Uint8Array>
  #held: Uint8Array = new Uint8Array(0)

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]()
  }

  unread(bytes: Uint8Array): void {
    this.#held = joined([bytes, this.#held])
  }

  async take(count: number): Promise<Uint8Array> {
    while (this.#held.length < count) await this.#more()
    return this.#cut(count)
  }

  /** Up to a mark, which is taken too. */
  async line(mark: Uint8Array, bytesMax: number): Promise<Uint8Array> {
    for (;;) {
      const at = indexOf(this.#held, mark)
      if (at >= 0) {
        const line = this.#cut(at)
        this.#cut(mark.length)
        return line
      }
      if (this.#held.length > bytesMax) {
        throw broken(`the head of a part is longer than ${bytesMax} bytes`)
      }
      await this.#more()
    }
  }

  /** Pieces up to a mark, which is taken too. */
  async *upTo(mark: Uint8Array): AsyncGenerator<Uint8Array> {
    for (;;) {
      const at = indexOf(this.#held, mark)
      if (at >= 0) {
        const last = this.#cut(at)
        this.#cut(mark.length)
        if (last.length > 0) yield last
        return
      }
      // The mark may have begun in what is held.
      const sure = this.#held.length - mark.length + 1
      if (sure > 0) yield this.#cut(sure)
      await this.#more()
    }
  }

  #cut(count: number): Uint8Array {
    const cut = this.#held.subarray(0, count)
    this.#held = this.#held.subarray(count)
    return cut
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#chunks.next()
    if (done) throw broken('it ends before its last delimiter')
    this.#held = this.#held.length === 0 ? value : joined([this.#held, value])
  }
}

function indexOf(bytes: Uint8Array, mark: Uint8Array): number {
  const first = mark[0]!
  const last = bytes.length - mark.length
  for (let at = bytes.indexOf(first); at >= 0 && at <= last; at = bytes.indexOf(first, at + 1)) {
    let matched = 1
    while (matched < mark.length && bytes[at + matched] === mark[matched]) matched++
    if (matched === mark.length) return at
  }
  return -1
}
