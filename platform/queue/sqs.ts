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
import { undoneOf } from '#core/error.ts'
import type { QueueName } from '#schemas/queues.ts'
import { type Errors, microBatch } from './batch.ts'
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
import { isOldReceipt, untilAllDone } from './sqs-entries.ts'

const ENTRIES_MAX = 10
/** Of the messages of one call together. */
const CALL_BYTES_MAX = MESSAGE_BYTES_MAX
const CALLS_IN_FLIGHT_MAX = 8
/** Long enough to ask all of SQS's machines, so that nothing received means that nothing is there. */
const REDRIVE_WAIT_S = 1
/** For which a dead message is hidden while it is sent back. */
const REDRIVE_HIDDEN_S = 60

/** The URLs of each queue and of its dead-letter queue. */
export type QueueUrls = Record<QueueName, { url: string; deadUrl: string }>

/** `blobs` is for bodies that are larger than a message, and opened when there is one. */
export function sqsQueue(o: {
  client: SQSClient
  urls: QueueUrls
  blobs(): Promise<BodyBlobs>
  log: Log
}): Queue {
  const bodies = largeBodies(o)
  const perUrl = <T>(
    run: (url: string, items: T[]) => Promise<Errors>,
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
    return untilAllDone(entries, {
      action: 'SendMessage',
      url: QueueUrl,
      send: Entries => o.client.send(new SendMessageBatchCommand({ QueueUrl, Entries })),
    })
  }, bytesOf)

  const deleteAll = perUrl<string>(
    async (QueueUrl, receipts) => {
      const kept = new Set<string | undefined>()
      const entries = receipts.map((receipt, at) => ({
        Id: String(at),
        ReceiptHandle: handleOf(receipt),
      }))
      const errors = await untilAllDone(entries, {
        action: 'DeleteMessage',
        url: QueueUrl,
        send: Entries => o.client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries })),
        isDone: failure => isOldReceipt(failure) && Boolean(kept.add(failure.Id)),
      })
      // Of one that is another's now the body is still wanted, and of one that is still there.
      await bodies.forget(
        receipts.filter((_, at) => !kept.has(String(at)) && errors[at] === undefined),
      )
      return errors
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
        const packed = await bodies.pack(queue, outgoing)
        const trouble: unknown = await sendAll(url, packed).catch(error => error)
        const undone = trouble ? undoneOf(trouble, messages.length) : new Set()
        const gone = messages.filter((_, at) => !undone.has(at))
        await deleteAll(
          deadUrl,
          gone.map(({ receipt }) => receipt),
        )
        if (trouble) throw trouble
        sent += messages.length
      }
      return sent
    },
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
