/** The queue suite over SQS, as each protocol server understands it. */
import { SQSClient } from '@aws-sdk/client-sqs'
import { inject } from 'vitest'
import { sqsQueue } from '#platform/queue/sqs.ts'
import { QUEUE_ENGINES } from '../conformance/engines.ts'
import { queueSuite } from '../conformance/queue.ts'
import { bodiesAt, clientConfig, freshQueues } from './servers.ts'

const log = { info() {}, error() {} }

for (const { name, endpoint } of inject('clouds')) {
  queueSuite({
    name: `sqs (${name})`,
    flags: QUEUE_ENGINES[name],
    async fresh() {
      const client = new SQSClient(clientConfig(endpoint))
      const { blobs, close } = await bodiesAt(endpoint)
      const urls = await freshQueues(client)
      const queue = sqsQueue({ client, urls, blobs: async () => blobs, log })
      return {
        queue,
        async close() {
          client.destroy()
          close()
        },
      }
    },
  })
}
