/** The queue suite over SQS, as each protocol server understands it. */
import { SQSClient } from '@aws-sdk/client-sqs'
import { inject } from 'vitest'
import { sqsQueue } from '#platform/queue/sqs.ts'
import { QUEUE_ENGINES } from '../conformance/engines.ts'
import { queueSuite } from '../conformance/queue.ts'
import { clientConfig, freshQueues } from './servers.ts'

for (const { name, endpoint } of inject('clouds')) {
  queueSuite({
    name: `sqs (${name})`,
    flags: QUEUE_ENGINES[name],
    async fresh() {
      const client = new SQSClient(clientConfig(endpoint))
      const queue = sqsQueue({ client, urls: await freshQueues(client) })
      return { queue, close: async () => client.destroy() }
    },
  })
}
