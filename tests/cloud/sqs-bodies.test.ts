/** Bodies that are larger than a message of SQS: in blobs for as long as their message needs them. */
import {
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import type { Blobs, Queue } from '#core/deps.ts'
import { type BatchReply, eachMessage } from '#functions/invocation/batch.ts'
import { largeBodies, MESSAGE_BYTES_MAX } from '#platform/queue/bodies.ts'
import { type QueueUrls, sqsQueue } from '#platform/queue/sqs.ts'
import { bodiesAt, clientConfig, freshQueues } from './servers.ts'

const LARGE = 'é'.repeat(200_000)
const SOON = { max: 10, waitS: 5 }
const MARK = { GalleyBody: { DataType: 'String', StringValue: 'blob' } }

for (const { name, endpoint } of inject('clouds')) {
  describe(`large bodies on sqs (${name})`, () => {
    let client: SQSClient
    let urls: QueueUrls
    let blobs: Blobs
    let queue: Queue
    let close: () => void
    const lines: Record<string, unknown>[] = []
    const keep = (event: string, fields?: object) => void lines.push({ event, ...fields })
    const log = { info: keep, error: keep }

    beforeEach(async () => {
      client = new SQSClient(clientConfig(endpoint))
      urls = await freshQueues(client)
      const bodies = await bodiesAt(endpoint)
      blobs = bodies.blobs
      close = bodies.close
      queue = sqsQueue({ client, urls, blobs: async () => blobs, log })
      lines.splice(0)
    })
    afterEach(() => {
      client.destroy()
      close()
    })

    const stored = async () => (await blobs.list('messages/')).map(({ key }) => key)
    /** As SQS has it, the attribute included. */
    async function raw(QueueUrl: string) {
      const asked = { MaxNumberOfMessages: 1, WaitTimeSeconds: 5, MessageAttributeNames: ['All'] }
      const { Messages = [] } = await client.send(new ReceiveMessageCommand({ QueueUrl, ...asked }))
      expect(Messages).toHaveLength(1)
      return Messages[0]!
    }

    test('a blob is there until its message was deleted, and no longer', async () => {
      const fits = 'x'.repeat(MESSAGE_BYTES_MAX)
      await queue.send('work', [{ body: LARGE }, { body: 'small' }, { body: fits }])
      expect(await stored()).toEqual([expect.stringMatching(/^messages\/work\//)])
      const received = new Map<string, string>()
      while (received.size < 3) {
        for (const { body, receipt } of await queue.receive('work', SOON)) {
          received.set(body, receipt)
        }
      }
      const receipt = received.get(LARGE)!
      await queue.delete('work', [received.get('small')!, received.get(fits)!])
      expect(await queue.extend('work', receipt, 0)).toBe(true)
      const [again] = await queue.receive('work', SOON)
      expect(again).toMatchObject({ body: LARGE, receiveCount: 2 })
      expect(await stored()).toHaveLength(1)
      await queue.delete('work', [again!.receipt])
      expect(await stored()).toEqual([])
      expect(await queue.receive('work', { max: 10, waitS: 0 })).toEqual([])
    })

    test('a message whose body is gone, another, or never was is told, kept, and holds up no neighbour', async () => {
      await queue.send('work', [{ body: LARGE }])
      const [gone] = await stored()
      await blobs.delete(gone!)
      await queue.send('work', [{ body: `${LARGE}!` }])
      const [other] = await stored()
      await blobs.put(other!, Buffer.from(`${LARGE}?`))
      const QueueUrl = urls.work.url
      const strange = { MessageBody: '{"key":"ten_x/files/1"}', MessageAttributes: MARK }
      await client.send(new SendMessageCommand({ QueueUrl, ...strange }))
      await queue.send('work', [{ body: 'small' }])
      const bodies: string[] = []
      while (lines.length < 3 || bodies.length < 1) {
        bodies.push(...(await queue.receive('work', SOON)).map(({ body }) => body))
      }
      expect(bodies).toEqual(['small'])
      const told = lines.map(line => `${line.event} ${line.error}`).join('\n')
      expect(told).toContain(`the blob ${gone} with its body is gone`)
      expect(told).toContain(`the blob ${other} has 400001 bytes and is not what was sent`)
      expect(told).toContain('is marked as a pointer to a blob, and is none')
      const { Attributes = {} } = await client.send(
        new GetQueueAttributesCommand({
          QueueUrl,
          AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
        }),
      )
      expect(Object.values(Attributes).reduce((sum, count) => sum + Number(count), 0)).toBe(4)
    })

    test('a dead message comes back with its body, stored anew because it lives as long again', async () => {
      await queue.send('work', [{ body: LARGE }])
      const [before] = await stored()
      const { Body: MessageBody } = await raw(urls.work.url)
      const dead = { QueueUrl: urls.work.deadUrl, MessageBody, MessageAttributes: MARK }
      await client.send(new SendMessageCommand(dead))
      expect(await queue.redrive('work', 10)).toBe(1)
      const after = await stored()
      expect(after).toHaveLength(1)
      expect(after).not.toContain(before)
      const [back] = await queue.receive('work', SOON)
      expect(back).toMatchObject({ body: LARGE, receiveCount: 1 })
    })

    test('an event source hands over the pointer, and the function works on the body', async () => {
      await queue.send('events', [{ body: LARGE }])
      await queue.send('events', [{ body: 'small' }])
      const records: Record<string, unknown>[] = []
      for (const at of [0, 1]) {
        const { MessageId, Body, MessageAttributes = {} } = await raw(urls.events.url)
        const attributes = Object.entries(MessageAttributes).map(
          ([key, { StringValue, DataType }]) => {
            const stringValue = StringValue ?? null
            return [key, { stringValue, dataType: DataType, stringListValues: [] }]
          },
        )
        records.push({
          messageId: MessageId,
          receiptHandle: `r${at}`,
          body: Body,
          attributes: { ApproximateReceiveCount: '1' },
          messageAttributes: Object.fromEntries(attributes),
        })
      }
      const seen: string[] = []
      const bodies = largeBodies({ blobs: async () => blobs, log })
      const handle = (): Promise<BatchReply> =>
        eachMessage({ Records: records }, bodies, async (messages, taken) => {
          seen.push(...messages.map(({ body }) => body))
          await taken(messages)
        })
      expect(await handle()).toEqual({ batchItemFailures: [] })
      expect(new Set(seen)).toEqual(new Set([LARGE, 'small']))
      // Lambda may hand it over again, and its body must be there then.
      expect(await stored()).toHaveLength(1)
      await blobs.delete((await stored())[0]!)
      const large = records.find(({ body }) => body !== 'small')!
      expect(await handle()).toEqual({ batchItemFailures: [{ itemIdentifier: large.messageId }] })
    })
  })
}
