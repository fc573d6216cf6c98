/** Which queue a place has follows from its environment: SQS where that names the queues, else PostgreSQL. */
import type { Log, Queue } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { queueVariable } from '#schemas/cloud/functions.ts'
import { QUEUES, type QueueName } from '#schemas/queues.ts'
import type { BodyBlobs } from './bodies.ts'
import type { QueueUrls } from './sqs.ts'

const NAMES = Object.keys(QUEUES) as QueueName[]

/** The variables that hold the queues' URLs; a dead-letter queue is beside its queue, with `-dead` behind its name. */
export const QUEUE_VARIABLES: string[] = NAMES.map(name => queueVariable(name))

/** Null where no queue is named. Throws `invalid_request` where only some are, or where one is no URL. */
export function queueUrls(from: Record<string, string | undefined>): QueueUrls | null {
  const missing = QUEUE_VARIABLES.filter(name => !from[name])
  if (missing.length === NAMES.length) return null
  if (missing.length > 0) {
    throw new AppError('invalid_request', {
      public: `These must be set too, to the URLs of their queues in SQS: ${missing.join(', ')}.`,
    })
  }
  const wrong = QUEUE_VARIABLES.find(name => !/^https?:$/.test(protocolOf(from[name]!)))
  if (wrong) {
    throw new AppError('invalid_request', {
      public: `${wrong} is "${from[wrong]}"; it must be the URL of a queue, as in https://sqs.eu-west-1.amazonaws.com/123456789012/name.`,
    })
  }
  const urls = NAMES.map(name => {
    const url = from[queueVariable(name)]!
    return [name, { url, deadUrl: `${url}-dead` }]
  })
  return Object.fromEntries(urls) as QueueUrls
}

/**
 * Region, endpoint and credentials are the SDK's own to find. It is loaded only where it is used. `blobs` are
 * for bodies that are larger than a message.
 */
export async function openSqs(
  urls: QueueUrls,
  { blobs, log }: { blobs: BodyBlobs; log: Log },
): Promise<Queue & { close(): Promise<void> }> {
  const [{ sqsQueue }, { sqsClient }] = await Promise.all([
    import('./sqs.ts'),
    import('./sqs-client.ts'),
  ])
  const client = sqsClient()
  return {
    ...sqsQueue({ client, urls, blobs: async () => blobs, log }),
    close: async () => client.destroy(),
  }
}

/** Throws unless all queues are there and have their dead-letter queues. */
export async function checkSqs(urls: QueueUrls): Promise<void> {
  const { checkQueues, sqsClient } = await import('./sqs-client.ts')
  const client = sqsClient()
  await checkQueues(client, urls).finally(() => client.destroy())
}

function protocolOf(url: string): string {
  return URL.canParse(url) ? new URL(url).protocol : ''
}
