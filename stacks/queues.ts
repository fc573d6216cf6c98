/** Each queue of the table with its dead-letter queue, where only the queue itself may send, and with who is started by it. */
import * as lambda from '@pulumi/aws/lambda/index.js'
import * as sqs from '@pulumi/aws/sqs/index.js'
import * as pulumi from '@pulumi/pulumi'
import {
  type EventSource,
  QUEUES,
  type QueueName,
  type QueueSettings,
  sourceVisibilityS,
} from '../schemas/queues.ts'
import type { Secrets } from './secrets.ts'
import { type Deployment, nameOf, tagsOf } from './settings.ts'

const DAY_S = 86_400
/** The longest that SQS keeps a message: after an incident there are two weeks to look and send again. */
const DEAD_KEPT_S = 14 * DAY_S
/** Shorter, because a dead message's age counts from its first day. */
const KEPT_S = 7 * DAY_S
const LONG_POLL_S = 20

export type Queues = Record<QueueName, { live: sqs.Queue; dead: sqs.Queue }>

export function queues(deployment: Deployment, { key }: Secrets): Queues {
  const made = Object.entries(QUEUES).map(([name, settings]) => [
    name,
    pair(deployment, key.arn, name, settings),
  ])
  return Object.fromEntries(made)
}

function pair(
  deployment: Deployment,
  kmsMasterKeyId: pulumi.Input<string>,
  name: string,
  settings: QueueSettings,
) {
  const tags = tagsOf(deployment, 'queues')
  const kept = { kmsMasterKeyId, kmsDataKeyReusePeriodSeconds: 300, tags }
  const dead = new sqs.Queue(`queue-${name}-dead`, {
    ...kept,
    name: nameOf(deployment, `${name}-dead`),
    messageRetentionSeconds: DEAD_KEPT_S,
  })
  const live = new sqs.Queue(`queue-${name}`, {
    ...kept,
    name: nameOf(deployment, name),
    visibilityTimeoutSeconds: sourceVisibilityS(settings),
    messageRetentionSeconds: KEPT_S,
    receiveWaitTimeSeconds: LONG_POLL_S,
    redrivePolicy: pulumi.jsonStringify({
      deadLetterTargetArn: dead.arn,
      maxReceiveCount: settings.receiveCountMax,
    }),
  })
  new sqs.RedriveAllowPolicy(`redrive-${name}`, {
    queueUrl: dead.url,
    redriveAllowPolicy: pulumi.jsonStringify({
      redrivePermission: 'byQueue',
      sourceQueueArns: [live.arn],
    }),
  })
  return { live, dead }
}

/** Starts the function with the messages of a queue. */
export function sourceOf(
  deployment: Deployment,
  queues: Queues,
  reader: lambda.Function,
  name: QueueName,
): void {
  const { batchMax, source }: QueueSettings = QUEUES[name]
  if (!source) throw new Error(`Queue ${name} has no event source in schemas/queues.ts.`)
  new lambda.EventSourceMapping(`source-${name}`, {
    eventSourceArn: queues[name].live.arn,
    functionName: reader.arn,
    batchSize: batchMax,
    maximumBatchingWindowInSeconds: source.windowS,
    scalingConfig: { maximumConcurrency: concurrencyOf(source) },
    // One message fails alone.
    functionResponseTypes: ['ReportBatchItemFailures'],
    tags: tagsOf(deployment, 'functions'),
  })
}

const concurrencyOf = ({ concurrencyMax }: EventSource) => Math.max(2, concurrencyMax)
