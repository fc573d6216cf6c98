/**
 * SQS itself. Queues and their redrive policies are made by the stacks, not here. A call costs more than
 * half a millisecond of CPU in the SDK, so sends and deletes that are made at the same time share one.
 */
import {
  ChangeMessageVisibilityCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import type { Log, Queue } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { QueueName } from '#schemas/queues.ts'
import { microBatch } from './batch.ts'
import {
  type BodyBlobs,
  bytesOf,
  handleOf,
  largeBodies,
  MESSAGE_BYTES_MAX,
  type Packed,
  POINTER_ATTRIBUTE,
  POINTER_MARK,
  type Received,
  saysPointer,
} from './bodies.ts'
import { checkOutgoing, checkReceive, checkRedrive, checkVisibility } from './message.ts'
import { nameOf, sqsFault } from './sqs-client.ts'
import { nap } from './unavailable.ts'

const ENTRIES_MAX = 10
/** Of the messages of one call together. */
const CALL_BYTES_MAX = MESSAGE_BYTES_MAX
const CALLS_IN_FLIGHT_MAX = 8
const TRIES_MAX = 5
const RETRY_MS_FIRST = 50
/** Long enough to ask all of SQS's machines, so that nothing received means that nothing is there. */
const REDRIVE_WAIT_S = 1
/** For which a dead message is hidden while it is sent back. */
const REDRIVE_HIDDEN_S = 60

/** The URLs of each queue and of its dead-letter queue. */
export type QueueUrls = Record<QueueName, { url: string; deadUrl: string }>

type Entry = { Id: string }
type Outcome = { Successful?: { Id?: string }[]; Failed?: Failure[] }
type Failure = { Id?: string; Code?: string; Message?: string; SenderFault?: boolean }

/** `blobs` is for bodies that are larger than a message, and opened when there is one. */
export function sqsQueue(o: {
  client: SQSClient
  urls: QueueUrls
  blobs(): Promise<BodyBlobs>
  log: Log
}): Queue {
  const bodies = largeBodies(o)
  const perUrl = <T>(
    run: (url: string, items: T[]) => Promise<void>,
    weigh: (item: T) => number,
  ) => {
    const batches = new Map<string, (items: T[]) => Promise<void>>()
    return (url: string, items: T[]) => {
      const limits = {
        itemsMax: ENTRIES_MAX,
        weightMax: CALL_BYTES_MAX,
        inFlightMax: CALLS_IN_FLIGHT_MAX,
      }
      const batch = batches.get(url) ?? microBatch(i => run(url, i), { ...limits, weigh })
      batches.set(url, batch)
      return batch(items)
    }
  }

  const sendAll = perUrl<Packed>((QueueUrl, messages) => {
    const entries = messages.map((m, at) => ({
      Id: String(at),
      MessageBody: m.body,
      DelaySeconds: Math.ceil(m.delayS ?? 0),
      MessageAttributes: m.isPointer ? POINTER_MARK : undefined,
    }))
    return untilAllDone(entries, Entries =>
      o.client.send(new SendMessageBatchCommand({ QueueUrl, Entries })).catch(error => {
        throw sqsFault(error, 'SendMessage', QueueUrl)
      }),
    )
  }, bytesOf)

  const deleteAll = perUrl<string>(
    async (QueueUrl, receipts) => {
      const old = new Set<string | undefined>()
      const entries = receipts.map((receipt, at) => ({
        Id: String(at),
        ReceiptHandle: handleOf(receipt),
      }))
      await untilAllDone(
        entries,
        Entries =>
          o.client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries })).catch(error => {
            throw sqsFault(error, 'DeleteMessage', QueueUrl)
          }),
        failure => isOldReceipt(failure) && Boolean(old.add(failure.Id)),
      )
      // Of one that is another's now the body is still wanted.
      await bodies.forget(receipts.filter((_, at) => !old.has(String(at))))
    },
    () => 1,
  )

  async function take(
    QueueUrl: string,
    options: Parameters<Queue['receive']>[1],
  ): Promise<Received[]> {
    const { max, waitS, visibilityS, signal } = options
    if (signal?.aborted) return []
    const command = new ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: max,
      WaitTimeSeconds: Math.ceil(waitS),
      VisibilityTimeout: visibilityS === undefined ? undefined : Math.ceil(visibilityS),
      MessageSystemAttributeNames: ['ApproximateReceiveCount'],
      MessageAttributeNames: [POINTER_ATTRIBUTE],
    })
    try {
      const { Messages = [] } = await o.client.send(command, { abortSignal: signal })
      return Messages.map(toReceived)
    } catch (error) {
      if (signal?.aborted) return []
      throw sqsFault(error, 'ReceiveMessage', QueueUrl)
    }
  }

  return {
    async send(queue, messages) {
      checkOutgoing(messages)
      await sendAll(o.urls[queue].url, await bodies.pack(queue, messages))
    },
    async receive(queue, options) {
      checkReceive(options)
      return bodies.unpack(await take(o.urls[queue].url, options))
    },
    delete: (queue, receipts) => deleteAll(o.urls[queue].url, receipts),
    async extend(queue, receipt, visibilityS) {
      checkVisibility(visibilityS)
      try {
        await o.client.send(
          new ChangeMessageVisibilityCommand({
            QueueUrl: o.urls[queue].url,
            ReceiptHandle: handleOf(receipt),
            VisibilityTimeout: Math.ceil(visibilityS),
          }),
        )
        return true
      } catch (error) {
        if (isOldReceipt({ Code: nameOf(error), Message: String(error) })) return false
        throw sqsFault(error, 'ChangeMessageVisibility', o.urls[queue].url)
      }
    },
    async dead(queue) {
      const command = new GetQueueAttributesCommand({
        QueueUrl: o.urls[queue].deadUrl,
        AttributeNames: ['ApproximateNumberOfMessages'],
      })
      const { Attributes } = await o.client.send(command).catch(error => {
        throw sqsFault(error, 'GetQueueAttributes', o.urls[queue].deadUrl)
      })
      return Number(Attributes?.ApproximateNumberOfMessages ?? 0)
    },
    async redrive(queue, max) {
      checkRedrive(max)
      const { url, deadUrl } = o.urls[queue]
      const options = { waitS: REDRIVE_WAIT_S, visibilityS: REDRIVE_HIDDEN_S }
      let sent = 0
      for (let seen = 0; seen < max; ) {
        const taken = await take(deadUrl, { ...options, max: Math.min(max - seen, ENTRIES_MAX) })
        if (taken.length === 0) break
        seen += taken.length
        const messages = await bodies.unpack(taken)
        const outgoing = messages.map(({ body }) => ({ body }))
        // In this order: who dies in between leaves a message in both queues, and never in none. A large body is
        // stored anew, because its message lives as long again.
        await sendAll(url, await bodies.pack(queue, outgoing))
        await deleteAll(
          deadUrl,
          messages.map(({ receipt }) => receipt),
        )
        sent += messages.length
      }
      return sent
    },
  }
}

/** Sends what failed again, with a pause; throws when some of it failed for good. */
async function untilAllDone<E extends Entry>(
  entries: E[],
  call: (entries: E[]) => Promise<Outcome>,
  isDone: (failure: Failure) => boolean = () => false,
): Promise<void> {
  let left = entries
  for (let tries = 1; ; tries++) {
    const { Failed = [] } = await call(left)
    const failures = new Map(Failed.filter(f => !isDone(f)).map(f => [f.Id, f]))
    left = left.filter(entry => failures.has(entry.Id))
    const [first] = failures.values()
    if (!first) return
    if (tries >= TRIES_MAX || first.SenderFault) {
      throw new AppError(first.SenderFault ? 'internal' : 'unavailable', {
        internal: `SQS refused ${left.length} of ${entries.length}: ${first.Code} ${first.Message}`,
        retryable: !first.SenderFault,
      })
    }
    await nap(Math.random() * RETRY_MS_FIRST * 2 ** tries)
  }
}

function toReceived(m: {
  MessageId?: string
  Body?: string
  ReceiptHandle?: string
  Attributes?: Record<string, string>
  MessageAttributes?: Record<string, { StringValue?: string }>
}): Received {
  return {
    id: m.MessageId ?? '',
    body: m.Body ?? '',
    receipt: m.ReceiptHandle ?? '',
    receiveCount: Number(m.Attributes?.ApproximateReceiveCount ?? 1),
    isPointer: saysPointer(m.MessageAttributes?.[POINTER_ATTRIBUTE]?.StringValue),
  }
}

/** The message is gone, in another's hands, or was never ours: nothing that a caller could mend. */
function isOldReceipt(failure: Failure): boolean {
  if (/ReceiptHandleIsInvalid|MessageNotInflight/.test(failure.Code ?? '')) return true
  return (
    /InvalidParameterValue/.test(failure.Code ?? '') &&
    /receipt handle|ReceiptHandle/i.test(failure.Message ?? '')
  )
}
