/** SQS and S3 by a protocol server in this process, in memory, on loopback. */
import { CreateQueueCommand, GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { buildApp } from 'fauxqs'
import type { QueueUrls } from '#platform/queue/sqs.ts'
import { QUEUES, type QueueName } from '#schemas/queues.ts'

export type CloudServer = {
  clientConfig: {
    endpoint: string
    region: string
    credentials: { accessKeyId: string; secretAccessKey: string }
  }
  /** Queues as the stacks make them, each with its dead-letter queue. */
  freshQueues(client: SQSClient): Promise<QueueUrls>
  close(): Promise<void>
}

let made = 0

export async function startCloudServer(): Promise<CloudServer> {
  const app = buildApp({ logger: false })
  const endpoint = await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    clientConfig: {
      endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId: 'conformance', secretAccessKey: 'conformance' },
    },
    async freshQueues(client) {
      const suffix = made++
      const entries = Object.keys(QUEUES).map(async name => {
        return [name, await createQueue(client, name as QueueName, suffix)] as const
      })
      return Object.fromEntries(await Promise.all(entries)) as QueueUrls
    },
    close: () => app.close(),
  }
}

async function createQueue(client: SQSClient, name: QueueName, suffix: number) {
  const dead = await client.send(new CreateQueueCommand({ QueueName: `${name}-${suffix}-dead` }))
  const deadUrl = dead.QueueUrl!
  const asked = { QueueUrl: deadUrl, AttributeNames: ['QueueArn' as const] }
  const { Attributes } = await client.send(new GetQueueAttributesCommand(asked))
  const redrive = {
    deadLetterTargetArn: Attributes?.QueueArn,
    maxReceiveCount: QUEUES[name].receiveCountMax,
  }
  const { QueueUrl } = await client.send(
    new CreateQueueCommand({
      QueueName: `${name}-${suffix}`,
      Attributes: {
        VisibilityTimeout: String(QUEUES[name].visibilityS),
        RedrivePolicy: JSON.stringify(redrive),
      },
    }),
  )
  return { url: QueueUrl!, deadUrl }
}
