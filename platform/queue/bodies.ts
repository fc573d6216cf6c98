/**
 * Bodies that are larger than a message of SQS: in blobs, with a pointer in the message. An attribute of the
 * message says that it has a pointer, never its text: a body that looks like one is a body.
 *
 * A blob is there before its message is sent, and goes after its message was deleted. What a process leaves that
 * dies in between, or that cannot tell whether it has sent, is for the bucket's lifecycle rule on `messages/`.
 */
import { createHash, randomUUID } from 'node:crypto'
import * as z from 'zod'
import type { Blobs, Log, Message } from '#core/deps.ts'
import { inFull } from '#core/error.ts'
import type { QueueName } from '#schemas/queues.ts'
import { BODY_BYTES_MAX, type Outgoing } from './message.ts'

/** Of a message, attributes included. AWS takes 1 MiB where neither queue nor account says less; 256 KiB everywhere. */
export const MESSAGE_BYTES_MAX = 262_144
export const POINTER_ATTRIBUTE = 'GalleyBody'
const IN_BLOBS = 'blob'
export const POINTER_MARK = {
  [POINTER_ATTRIBUTE]: { DataType: 'String', StringValue: IN_BLOBS },
}
/** Name, type and value count. */
const MARK_BYTES = POINTER_ATTRIBUTE.length + 'String'.length + IN_BLOBS.length

const KEY = /^messages\/[a-z]+\/[0-9a-f-]{36}$/
const pointer = z.object({
  key: z.string().regex(KEY),
  size: z.int().min(1).max(BODY_BYTES_MAX),
  sha256: z.string(),
})
type Pointer = z.infer<typeof pointer>

export type BodyBlobs = Pick<Blobs, 'put' | 'get' | 'delete'>
/** A message as it travels. */
export type Packed = Outgoing & { isPointer?: boolean }
export type Received = Message & { isPointer: boolean }
export type Bodies = ReturnType<typeof largeBodies>

/** What the value of the attribute says, where there is one. */
export const saysPointer = (value: string | undefined) => value === IN_BLOBS

export const bytesOf = ({ body, isPointer }: Packed) =>
  Buffer.byteLength(body) + (isPointer ? MARK_BYTES : 0)

/** `blobs` is asked for when there is a large body, and not before: few messages have one. */
export function largeBodies(o: { blobs(): Promise<BodyBlobs>; log: Log }) {
  let opened: Promise<BodyBlobs> | undefined
  const blobs = () => {
    opened ??= o.blobs()
    return opened
  }

  /** Throws where a blob cannot be stored; then nothing was sent. */
  async function pack(queue: QueueName, messages: Outgoing[]): Promise<Packed[]> {
    const packed: Packed[] = []
    for (const message of messages) {
      if (bytesOf(message) <= MESSAGE_BYTES_MAX) packed.push(message)
      else packed.push({ ...message, body: await stored(queue, message.body), isPointer: true })
    }
    return packed
  }

  async function stored(queue: QueueName, body: string): Promise<string> {
    const bytes = Buffer.from(body)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const key = `messages/${queue}/${randomUUID()}`
    await (await blobs()).put(key, bytes, { sha256, sizeMax: bytes.length })
    return JSON.stringify({ key, size: bytes.length, sha256 } satisfies Pointer)
  }

  /**
   * The messages with the bodies that were sent. One whose body is gone, or is another, is left out, with a
   * line in the log: it comes again, and is put aside in the end as any that nobody can read.
   */
  async function unpack(received: Received[]): Promise<Message[]> {
    const messages: Message[] = []
    for (const { isPointer, ...message } of received) {
      if (!isPointer) {
        messages.push(message)
        continue
      }
      try {
        const { key, body } = await fetched(message.body)
        messages.push({ ...message, body, receipt: `${message.receipt} ${key}` })
      } catch (error) {
        const fields = { message: message.id, received: message.receiveCount }
        o.log.error('queue.body_lost', { ...fields, error: inFull(error) })
      }
    }
    return messages
  }

  async function fetched(text: string): Promise<{ key: string; body: string }> {
    const { success, data } = pointer.safeParse(parsed(text))
    if (!success) throw new Error(`is marked as a pointer to a blob, and is none: ${text}`)
    const { key, size, sha256 } = data
    const found = await (await blobs()).get(key, { start: 0, end: size })
    if (!found) throw new Error(`the blob ${key} with its body is gone`)
    const pieces: Uint8Array[] = []
    for await (const piece of found.body) pieces.push(piece)
    const bytes = Buffer.concat(pieces)
    const digest = createHash('sha256').update(bytes).digest('hex')
    if (found.info.size !== size || digest !== sha256) {
      throw new Error(
        `the blob ${key} has ${found.info.size} bytes and is not what was sent: ${size} bytes with the SHA-256 ${sha256}`,
      )
    }
    return { key, body: bytes.toString() }
  }

  /** Of messages that were deleted. What cannot be removed now goes by its lifecycle rule. */
  async function forget(receipts: string[]): Promise<void> {
    const keys = receipts.map(keyOf).filter(key => KEY.test(key))
    if (keys.length === 0) return
    const store = await blobs()
    await Promise.all(keys.map(key => store.delete(key).catch(() => {})))
  }

  return { pack, unpack, forget }
}

/** The receipt that SQS gave: behind it, after a space that is in none, stands the key of the body. */
export const handleOf = (receipt: string) => receipt.split(' ')[0]!
const keyOf = (receipt: string) => receipt.split(' ')[1] ?? ''

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
