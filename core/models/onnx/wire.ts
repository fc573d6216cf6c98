/**
 * Protocol Buffers at the wire level, just enough for ONNX. The reader works over a random-access
 * source, so that the weights of a 2 GiB file are stepped over and never loaded, and treats its input
 * as hostile: every length is checked against what encloses it, and the work is bounded by a count of
 * fields. (Encoding: protobuf.dev/programming-guides/encoding)
 */
import { AppError } from '#core/error.ts'

/** Bytes at random access. `read` gives fewer bytes than asked for only at the end. */
export type Source = { size: number; read(offset: number, length: number): Uint8Array }

/** A field's place in the file. For varints `start` is where the number stands. */
export type Field = { number: number; wire: WireType; start: number; end: number }
export type Span = { start: number; end: number }

const WINDOW_BYTES = 64 * 1024
const VARINT_BYTES_MAX = 10
const TEXT_BYTES_MAX = 64 * 1024
const decoder = new TextDecoder()
export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const
export type WireType = (typeof WIRE)[keyof typeof WIRE]

export function bytesSource(bytes: Uint8Array): Source {
  return {
    size: bytes.length,
    read: (offset, length) => bytes.subarray(offset, offset + length),
  }
}

export class WireReader {
  readonly source: Source
  #window: Uint8Array = new Uint8Array(0)
  #windowStart = 0
  #fieldsLeft: number

  constructor(source: Source, fieldsMax: number) {
    this.source = source
    this.#fieldsLeft = fieldsMax
  }

  /** The fields of the message in `span`, in order. Throws `invalid_model` where the bytes are none. */
  *fields(span: Span): Generator<Field> {
    let at = span.start
    while (at < span.end) {
      if (this.#fieldsLeft-- <= 0) {
        throw invalid(
          'The file has more fields than a model needs; it looks like a decompression bomb.',
        )
      }
      const key = this.#varint(at, span.end)
      const number = Number(key.value >> 3n)
      const wire = Number(key.value & 7n)
      if (number < 1 || number > 0x1fffffff)
        throw damaged(at, `it holds the field number ${number}`)
      const field = this.#field(number, wire, key.end, span.end)
      yield field
      at = field.end
    }
  }

  /** The number of a varint field as it stands, unsigned. */
  unsigned(field: Field): bigint {
    if (field.wire !== WIRE.varint) throw damaged(field.start, 'a number was expected there')
    return this.#varint(field.start, field.end).value
  }

  /** The number of a varint field as a signed 64-bit integer. */
  signed(field: Field): bigint {
    return BigInt.asIntN(64, this.unsigned(field))
  }

  /** The text of a field. Names longer than 64 KiB are refused. */
  text(field: Field): string {
    return decoder.decode(this.bytes(field, TEXT_BYTES_MAX))
  }

  bytes(field: Field, bytesMax: number): Uint8Array {
    const length = field.end - field.start
    if (field.wire !== WIRE.bytes)
      throw damaged(field.start, 'text or a message was expected there')
    if (length > bytesMax)
      throw invalid(
        `A name or text at byte ${field.start} is ${length} bytes long; at most ${bytesMax} are taken.`,
      )
    return this.#slice(field.start, length)
  }

  /** The span of a field that holds a message. */
  message(field: Field): Span {
    if (field.wire !== WIRE.bytes) throw damaged(field.start, 'a message was expected there')
    return { start: field.start, end: field.end }
  }

  /** The 64-bit integers of a repeated field: one when it stands alone, several when packed. */
  *integers(field: Field): Generator<bigint> {
    if (field.wire !== WIRE.bytes) {
      yield this.signed(field)
      return
    }
    for (let at = field.start; at < field.end; ) {
      if (this.#fieldsLeft-- <= 0) throw invalid('The file holds more numbers than a model needs.')
      const { value, end } = this.#varint(at, field.end)
      yield BigInt.asIntN(64, value)
      at = end
    }
  }

  /** How many varints a packed field holds, without decoding them. */
  countVarints(field: Field): number {
    if (field.wire !== WIRE.bytes) return 1
    let count = 0
    for (let at = field.start; at < field.end; at += WINDOW_BYTES) {
      const chunk = this.source.read(at, Math.min(WINDOW_BYTES, field.end - at))
      for (let i = 0; i < chunk.length; i++) if (chunk[i]! < 0x80) count++
    }
    return count
  }

  #field(number: number, wire: number, start: number, limit: number): Field {
    if (wire === WIRE.varint) return { number, wire, start, end: this.#varint(start, limit).end }
    if (wire === WIRE.bytes) {
      const length = this.#varint(start, limit)
      const end = length.end + Number(length.value)
      this.#mustFit(number, length.end, end, limit)
      return { number, wire, start: length.end, end }
    }
    if (wire !== WIRE.fixed64 && wire !== WIRE.fixed32) {
      throw damaged(start, `it holds the wire type ${wire}`)
    }
    const end = start + (wire === WIRE.fixed64 ? 8 : 4)
    this.#mustFit(number, start, end, limit)
    return { number, wire, start, end }
  }

  #mustFit(number: number, start: number, end: number, limit: number): void {
    if (end <= limit) return
    if (limit !== this.source.size)
      throw damaged(start, `field ${number} is longer than the message it stands in`)
    throw truncated(
      `field ${number} at byte ${start} needs ${end - start} bytes and ${limit - start} are left`,
    )
  }

  #varint(start: number, limit: number): { value: bigint; end: number } {
    let low = 0
    let at = start
    for (; at < start + VARINT_BYTES_MAX; at++) {
      if (at >= limit) {
        if (limit === this.source.size) throw truncated(`it ends within a number at byte ${start}`)
        throw damaged(start, 'a number runs past the message it stands in')
      }
      const byte = this.#byte(at)
      // Most numbers are short: those below 2^49 need no big arithmetic.
      if (at - start < 7) low += (byte & 0x7f) * 2 ** (7 * (at - start))
      if (byte < 0x80) {
        if (at - start < 7) return { value: BigInt(low), end: at + 1 }
        return { value: this.#long(start, at + 1), end: at + 1 }
      }
    }
    throw damaged(start, `a number is longer than ${VARINT_BYTES_MAX} bytes`)
  }

  #long(start: number, end: number): bigint {
    let value = 0n
    for (let at = end - 1; at >= start; at--) value = (value << 7n) | BigInt(this.#byte(at) & 0x7f)
    return BigInt.asUintN(64, value)
  }

  #slice(at: number, length: number): Uint8Array {
    if (length === 0) return new Uint8Array(0)
    if (length > WINDOW_BYTES) return this.source.read(at, length)
    const windowEnd = this.#windowStart + this.#window.length
    if (at < this.#windowStart || at + length > windowEnd) this.#moveWindow(at)
    const from = at - this.#windowStart
    return this.#window.subarray(from, from + length)
  }

  #byte(at: number): number {
    const index = at - this.#windowStart
    if (index >= 0 && index < this.#window.length) return this.#window[index]!
    this.#moveWindow(at)
    return this.#window[0]!
  }

  #moveWindow(at: number): void {
    this.#window = this.source.read(at, Math.min(WINDOW_BYTES, this.source.size - at))
    this.#windowStart = at
    if (this.#window.length === 0) throw truncated(`nothing could be read at byte ${at}`)
  }
}

/** Writes one message. Fields come out in the order of the calls, so the bytes are deterministic. */
export class WireWriter {
  readonly #chunks: Uint8Array[] = []
  #length = 0

  varint(field: number, value: number | bigint): this {
    this.#push(varintBytes(BigInt(field) << 3n))
    this.#push(varintBytes(BigInt.asUintN(64, BigInt(value))))
    return this
  }

  float(field: number, value: number): this {
    this.#push(varintBytes((BigInt(field) << 3n) | 5n))
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setFloat32(0, value, true)
    this.#push(bytes)
    return this
  }

  bytes(field: number, value: Uint8Array): this {
    this.#push(varintBytes((BigInt(field) << 3n) | 2n))
    this.#push(varintBytes(BigInt(value.length)))
    this.#push(value)
    return this
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value))
  }

  message(field: number, value: WireWriter): this {
    return this.bytes(field, value.finish())
  }

  finish(): Uint8Array {
    const all = new Uint8Array(this.#length)
    let at = 0
    for (const chunk of this.#chunks) {
      all.set(chunk, at)
      at += chunk.length
    }
    return all
  }

  #push(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#length += chunk.length
  }
}

/** The fault of every refusal here: the model is not one that can be served, and why. */
export function invalid(detail: string): AppError {
  return new AppError('invalid_model', { public: detail })
}

function truncated(detail: string): AppError {
  return invalid(`The file is truncated: ${detail}. Upload the whole file again.`)
}

function damaged(at: number, detail: string): AppError {
  return invalid(`The file is not a valid ONNX model or is damaged at byte ${at}: ${detail}.`)
}

function varintBytes(value: bigint): Uint8Array {
  const out: number[] = []
  let rest = value
  while (rest >= 0x80n) {
    out.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  out.push(Number(rest))
  return Uint8Array.from(out)
}
