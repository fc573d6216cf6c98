/**
 * Servers that speak the protocols of SQS and S3 (moto that of ECS too), on loopback and in memory: fauxqs in this process, and
 * moto in a process of its own where there is a Python. They are independent of each other, so that
 * what both agree on is not one author's reading of the documentation.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { CreateQueueCommand, GetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs'
import { buildApp } from 'fauxqs'
import type { Blobs } from '#core/deps.ts'
import { s3Blobs } from '#platform/blob/s3.ts'
import type { QueueUrls } from '#platform/queue/sqs.ts'
import { queueVariable } from '#schemas/cloud/functions.ts'
import { QUEUES, type QueueName } from '#schemas/queues.ts'
import { startFaulty } from './faulty.ts'
import { refusedByS3 } from './signature.ts'

const MOTO = fileURLToPath(new URL('moto-server.py', import.meta.url))

export type CloudName = 'fauxqs' | 'moto'
export type CloudServer = { name: CloudName; endpoint: string; close(): Promise<void> }

export async function startFauxqs(): Promise<CloudServer> {
  const app = buildApp({ logger: false })
  const endpoint = await app.listen({ port: 0, host: '127.0.0.1' })
  return { name: 'fauxqs', endpoint, close: () => app.close() }
}

/** `bin` is that of the virtual environment with moto in it. */
export async function startMoto(bin: string): Promise<CloudServer> {
  const child = spawn(`${bin}/python`, [MOTO], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const told = once(createInterface({ input: child.stdout }), 'line')
  const early = exited.then(() => Promise.reject(new Error('moto ended before it told its port')))
  const [port] = (await Promise.race([told, early])) as [string]
  early.catch(() => {})
  return {
    name: 'moto',
    endpoint: `http://127.0.0.1:${port}`,
    async close() {
      child.stdin.end()
      await exited
    },
  }
}

/** What a client of the SDK is made with. */
export function clientConfig(endpoint: string) {
  const credentials = { accessKeyId: 'conformance', secretAccessKey: 'conformance' }
  return { endpoint, region: 'us-east-1', credentials }
}

let made = 0
const freshName = () => `${process.pid}-${made++}`

/** Queues as the stacks make them, each with its dead-letter queue. */
export async function freshQueues(client: SQSClient): Promise<QueueUrls> {
  const suffix = freshName()
  const entries = Object.keys(QUEUES).map(async name => {
    return [name, await createQueue(client, name as QueueName, suffix)] as const
  })
  return Object.fromEntries(await Promise.all(entries)) as QueueUrls
}

/** The name of a bucket that nobody else has. */
export async function freshBucket(client: S3Client): Promise<string> {
  const Bucket = `blobs-${freshName()}`
  await client.send(new CreateBucketCommand({ Bucket }))
  return Bucket
}

/** A store for bodies that are larger than a message, in a bucket of its own on the same server. */
export async function bodiesAt(endpoint: string): Promise<{ blobs: Blobs; close(): void }> {
  const client = new S3Client({ ...clientConfig(endpoint), forcePathStyle: true })
  const bucket = await freshBucket(client)
  const blobs = s3Blobs({ client, bucket, cacheFolder: 'no file is asked for' })
  return { blobs, close: () => client.destroy() }
}

async function createQueue(client: SQSClient, name: QueueName, suffix: string) {
  const endpoint = await client.config.endpoint!()
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
  return { url: at(endpoint, QueueUrl!), deadUrl: at(endpoint, deadUrl) }
}

/** Queues and a bucket on a server of their own, and the environment that names them as a deployment's does. */
export async function startCloud(): Promise<{
  env: Record<string, string>
  close(): Promise<void>
}> {
  const server = await startFauxqs()
  // In front, what S3 checks of signed requests and the server does not.
  const door = await startFaulty(server.endpoint, { keeps: false })
  const config = clientConfig(door.endpoint)
  const { endpoint } = config
  door.spoil(asked => refusedByS3(asked, config.credentials.secretAccessKey))
  const close = async () => {
    await door.close()
    await server.close()
  }
  const [sqs, s3] = [new SQSClient(config), new S3Client({ ...config, forcePathStyle: true })]
  const urls = await freshQueues(sqs)
  const bucket = await freshBucket(s3)
  sqs.destroy()
  s3.destroy()
  const queues = Object.entries(urls).map(([name, { url }]) => [
    queueVariable(name as QueueName),
    url,
  ])
  const env = {
    AWS_ENDPOINT_URL: endpoint,
    AWS_REGION: config.region,
    AWS_ACCESS_KEY_ID: config.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: config.credentials.secretAccessKey,
    GALLEY_BUCKET: bucket,
    ...Object.fromEntries(queues),
  }
  return { env, close }
}

/** A server names itself by a host that nobody resolves; what tells its queues apart is the path. */
function at(
  { protocol, hostname, port }: { protocol: string; hostname: string; port?: number },
  url: string,
) {
  return `${protocol}//${hostname}:${port}${new URL(url).pathname}`
}
