/** An event source of SQS: receives a batch, hands it over, and deletes what did not fail. */
import { DeleteMessageBatchCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs'
import type { QueueName } from '#schemas/queues.ts'
import type { Cloud } from './cloud.ts'
import type { Host, Outcome } from './host.ts'

export type Record = {
  messageId: string
  receiptHandle: string
  body: string
  messageAttributes?: { [name: string]: { stringValue: string; dataType: string } }
}

/** The event of some messages, as SQS's documentation has it. */
export function sqsEvent(records: Record[]) {
  return {
    Records: records.map(record => ({
      messageAttributes: {},
      ...record,
      attributes: { ApproximateReceiveCount: '1', SentTimestamp: '1545082649183' },
      eventSource: 'aws:sqs',
      eventSourceARN: 'arn:aws:sqs:eu-central-1:123456789012:galley-test-events',
      awsRegion: 'eu-central-1',
    })),
  }
}

/** One batch; null when there is none. */
export async function handOver(
  cloud: Cloud,
  name: QueueName,
  host: Host,
): Promise<{ size: number; outcome: Outcome } | null> {
  const QueueUrl = cloud.queues[name]
  const command = new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 })
  const { Messages = [] } = await cloud.sqs.send(command)
  if (Messages.length === 0) return null
  const records = Messages.map(message => ({
    messageId: message.MessageId!,
    receiptHandle: message.ReceiptHandle!,
    body: message.Body!,
  }))
  const outcome = await host.invoke(sqsEvent(records))
  if ('value' in outcome) {
    const { batchItemFailures } = outcome.value as {
      batchItemFailures: { itemIdentifier: string }[]
    }
    const failed = new Set(batchItemFailures.map(({ itemIdentifier }) => itemIdentifier))
    const Entries = records
      .filter(({ messageId }) => !failed.has(messageId))
      .map(({ messageId: Id, receiptHandle: ReceiptHandle }) => ({ Id, ReceiptHandle }))
    if (Entries.length > 0)
      await cloud.sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
  }
  return { size: records.length, outcome }
}
