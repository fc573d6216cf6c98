/** What the hot frames carry, in bytes: both ends of the hop read and write them here. */
import type { Caller } from '#core/caller.ts'
import type { InferenceCall, Servable } from '#core/deps.ts'
import type { FieldError } from '#core/error.ts'
import type { TraceContext } from '#core/trace.ts'
import type { Full } from '#gpu-runners/batcher/admission.ts'
import type { ErrorCode } from '#schemas/errors.ts'
import type { RequestId } from '#schemas/ids.ts'

/** What requests of one key to one version share: sent once, then named by number. */
export type Shared = { caller: Caller; model: Servable; kind?: InferenceCall['kind'] }

export type InferHead = {
  context: number
  deadline: number
  jsonLength: number | null
  form?: InferenceCall['form']
  requestId: RequestId
}
const INFER_FIXED = 18

export function inferHead(head: InferHead): Buffer {
  const id = head.requestId
  const bytes = Buffer.allocUnsafe(INFER_FIXED + id.length)
  bytes.writeUInt32LE(head.context, 0)
  bytes.writeDoubleLE(head.deadline, 4)
  bytes.writeInt32LE(head.jsonLength ?? -1, 12)
  bytes[16] = id.length
  bytes[17] = head.form === 'embeddings' ? 1 : 0
  bytes.write(id, INFER_FIXED, 'latin1')
  return bytes
}

export function readInfer(payload: Buffer): { head: InferHead; body: Buffer } {
  const end = INFER_FIXED + payload[16]!
  const jsonLength = payload.readInt32LE(12)
  return {
    head: {
      context: payload.readUInt32LE(0),
      deadline: payload.readDoubleLE(4),
      jsonLength: jsonLength < 0 ? null : jsonLength,
      ...(payload[17] === 1 && { form: 'embeddings' as const }),
      requestId: payload.toString('latin1', INFER_FIXED, end) as RequestId,
    },
    body: payload.subarray(end),
  }
}

const TRACE_ID_BYTES = 16
const TRACE_FIXED = 24

/** The ids as bytes, then the state as text. */
export function tracePart({ traceId, spanId, state = '' }: TraceContext): Buffer {
  return Buffer.concat([Buffer.from(traceId + spanId, 'hex'), Buffer.from(state, 'latin1')])
}

export function readTrace(payload: Buffer): TraceContext {
  const state = payload.toString('latin1', TRACE_FIXED)
  return {
    traceId: payload.toString('hex', 0, TRACE_ID_BYTES),
    spanId: payload.toString('hex', TRACE_ID_BYTES, TRACE_FIXED),
    ...(state !== '' && { state }),
  }
}

/** A reply's head holds the receipt whole: the router keeps a copy until the ledger has it. */
export type ReplyHead = {
  jsonLength: number | null
  /** The receipt as its line in the log. */
  line: string
  receiptId: string
  /** This request's share of its batch. */
  computeUs: number
  /** The first 32 bits of the digest of what ran: the router holds it against what it asked for. */
  made: number
}
const REPLY_FIXED = 15

/** A digest's first 32 bits. */
export const digestMark = (digest: string) => Number.parseInt(digest.slice(0, 8), 16) >>> 0

export function replyHead(head: ReplyHead): Buffer {
  const bytes = Buffer.allocUnsafe(REPLY_FIXED + head.receiptId.length + head.line.length * 3)
  bytes.writeInt32LE(head.jsonLength ?? -1, 0)
  bytes[4] = head.receiptId.length
  bytes.writeUInt32LE(Math.min(head.computeUs, 0xffffffff), 7)
  bytes.writeUInt32LE(head.made, 11)
  bytes.write(head.receiptId, REPLY_FIXED, 'latin1')
  const lineBytes = bytes.write(head.line, REPLY_FIXED + head.receiptId.length, 'utf8')
  bytes.writeUInt16LE(lineBytes, 5)
  return bytes.subarray(0, REPLY_FIXED + head.receiptId.length + lineBytes)
}

export function readReply(payload: Buffer): {
  head: Omit<ReplyHead, 'line'>
  line: Buffer
  body: Buffer
} {
  const lineAt = REPLY_FIXED + payload[4]!
  const end = lineAt + payload.readUInt16LE(5)
  const jsonLength = payload.readInt32LE(0)
  return {
    head: {
      jsonLength: jsonLength < 0 ? null : jsonLength,
      receiptId: payload.toString('latin1', REPLY_FIXED, lineAt),
      computeUs: payload.readUInt32LE(7),
      made: payload.readUInt32LE(11),
    },
    line: payload.subarray(lineAt, end),
    body: payload.subarray(end),
  }
}

/** An error as JSON: what the caller may know of it. */
export type ErrorPart = {
  code: ErrorCode
  public: string
  retryable: boolean
  retryAfterS?: number
  errors?: FieldError[]
  /** Of one that was refused for what waits: how long that holds for others like it. */
  full?: Full
}
