/** A client of SQS, what its errors mean, and whether the queues are what we take them for. */
import { GetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs'
import { AppError } from '#core/error.ts'
import type { QueueUrls } from './sqs.ts'

const TRIES_MAX = 5
const CONNECT_MS_MAX = 3_000
/** Above the longest poll. */
const ANSWER_MS_MAX = 30_000
/** Long polls of all readers of a process, and its sends beside them. */
const SOCKETS_MAX = 200

const THROTTLED = /Throttl|TooManyRequests|OverLimit|SlowDown|LimitExceeded/i
const MISSING = /QueueDoesNotExist|NonExistentQueue/
const FORBIDDEN =
  /AccessDenied|InvalidClientTokenId|UnrecognizedClient|SignatureDoesNotMatch|ExpiredToken/

/**
 * A client that waits for long polls, and tries again with full jitter what was throttled or lost.
 * Region, endpoint and credentials are the SDK's own to find.
 */
export function sqsClient(): SQSClient {
  return new SQSClient({
    maxAttempts: TRIES_MAX,
    requestHandler: {
      connectionTimeout: CONNECT_MS_MAX,
      socketTimeout: ANSWER_MS_MAX,
      httpsAgent: { maxSockets: SOCKETS_MAX },
      httpAgent: { maxSockets: SOCKETS_MAX },
    },
  })
}

/** Throws unless each queue is there and sends what nobody can read to the dead-letter queue beside it. */
export async function checkQueues(client: SQSClient, urls: QueueUrls): Promise<void> {
  for (const { url, deadUrl } of Object.values(urls)) {
    const { RedrivePolicy } = await attributesOf(client, url, 'RedrivePolicy')
    const { QueueArn } = await attributesOf(client, deadUrl, 'QueueArn')
    const { deadLetterTargetArn } = JSON.parse(RedrivePolicy ?? '{}')
    if (deadLetterTargetArn === QueueArn) continue
    throw new AppError('internal', {
      internal: `SQS: the redrive policy of ${url} names ${deadLetterTargetArn ?? 'no queue'}; it must name ${QueueArn}, or a message that nobody can read comes again for days`,
    })
  }
}

async function attributesOf(
  client: SQSClient,
  QueueUrl: string,
  name: 'RedrivePolicy' | 'QueueArn',
): Promise<Partial<Record<string, string>>> {
  const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [name] })
  const { Attributes = {} } = await client.send(command).catch(error => {
    throw sqsFault(error, 'GetQueueAttributes', QueueUrl)
  })
  return Attributes
}

/**
 * The same error as one of ours. What the SDK gave up on after its own tries may pass later; a queue
 * that is not there, or that we may not use, stays so until somebody mends it.
 */
export function sqsFault(error: unknown, action: string, url: string): unknown {
  if (error instanceof AppError) return error
  const name = nameOf(error)
  const said = `${name}: ${error instanceof Error ? error.message : error}`
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode
  if (MISSING.test(name)) {
    const internal = `SQS has no queue at ${url} (${said}); GALLEY_QUEUE_* must be the URLs of queues of this account and region`
    return new AppError('internal', { internal, cause: error })
  }
  const isThrottled = THROTTLED.test(name)
  if (!isThrottled && (status === 403 || FORBIDDEN.test(name))) {
    const internal = `SQS refused ${action} on ${url} (${said}); the role needs sqs:${action} on it`
    return new AppError('internal', { internal, cause: error })
  }
  if (!isThrottled && status && status < 500 && status !== 429) return error
  return new AppError('unavailable', {
    public: 'The queue cannot be reached now. Try again in a moment.',
    internal: `SQS, ${action} on ${url}: ${said}`,
    retryable: true,
    cause: error,
  })
}

export function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : ''
}
