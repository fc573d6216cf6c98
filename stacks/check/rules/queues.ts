/** Queues, who reads them, and who is called when nobody does. */
import { QUEUES, type QueueName, type QueueSettings } from '../../../schemas/queues.ts'
import type { Graph, Inputs } from '../graph.ts'
import { all, faulty, inputs, type Rule, without } from '../rule.ts'

const isDead = (name: string) => name.endsWith('-dead')
const live = (graph: Graph) => all(graph, 'sqs/queue').filter(({ name }) => !isDead(name))
const dead = (graph: Graph) => all(graph, 'sqs/queue').filter(({ name }) => isDead(name))
const arnOf = ({ name }: Inputs) => `:${name}`
const endsWith = (arn: string, of: Inputs) => arn.endsWith(arnOf(of))
const deadOf = (graph: Graph, redrive: string) =>
  dead(graph).find(queue => endsWith(JSON.parse(redrive).deadLetterTargetArn, queue.inputs))

export const queueRules: Rule[] = [
  {
    name: 'the queues are those of the table, each with its dead-letter queue',
    faults: graph => {
      const wanted = Object.keys(QUEUES).flatMap(name => [`queue-${name}`, `queue-${name}-dead`])
      const there = all(graph, 'sqs/queue').map(({ name }) => name)
      return [
        ...wanted.filter(name => !there.includes(name)).map(name => `${name}: is missing`),
        ...there.filter(name => !wanted.includes(name)).map(name => `${name}: is in no table`),
      ]
    },
    plants: [graph => without(graph, 'queue-work'), graph => without(graph, 'queue-events-dead')],
  },
  {
    name: 'each queue sends what fails to its own dead-letter queue, which takes from no other',
    faults: graph =>
      faulty(live(graph), ({ redrivePolicy, name }, queue) => {
        if (!redrivePolicy) return 'has no dead-letter queue'
        const target = deadOf(graph, redrivePolicy)
        if (target?.name !== `${queue.name}-dead`)
          return 'sends to the dead-letter queue of another'
        if (!(JSON.parse(redrivePolicy).maxReceiveCount >= 3)) return 'gives up after fewer than 3'
        const allowed = all(graph, 'sqs/redriveAllowPolicy').find(({ inputs: { queueUrl } }) =>
          queueUrl.endsWith(`/${target?.inputs.name}`),
        )
        const policy = JSON.parse(allowed?.inputs.redriveAllowPolicy ?? '{}')
        if (policy.redrivePermission !== 'byQueue') return 'shares its dead-letter queue'
        return !endsWith(policy.sourceQueueArns.join(), { name }) && 'is not let into it'
      }),
    plants: [
      graph => delete inputs(graph, 'queue-work').redrivePolicy,
      graph => {
        inputs(graph, 'queue-work').redrivePolicy = inputs(graph, 'queue-events').redrivePolicy
      },
      graph => {
        const { redrivePolicy } = inputs(graph, 'queue-work')
        inputs(graph, 'queue-work').redrivePolicy = redrivePolicy.replace('100', '1')
      },
      graph => without(graph, 'redrive-validate'),
    ],
  },
  {
    name: 'a message is hidden for six times the time-out of its function, and the window',
    faults: graph =>
      faulty(all(graph, 'lambda/eventSourceMapping'), mapping => {
        const queue = live(graph).find(each => endsWith(mapping.eventSourceArn, each.inputs))
        const reader = all(graph, 'lambda/function').find(each =>
          endsWith(mapping.functionName, each.inputs),
        )
        if (!queue || !reader) return 'names a queue or a function that there is not'
        const least = 6 * reader.inputs.timeout + (mapping.maximumBatchingWindowInSeconds ?? 0)
        const { visibilityTimeoutSeconds: hidden = 30 } = queue.inputs
        return hidden < least && `hides a message for ${hidden} s, and needs ${least} s`
      }),
    plants: [
      graph => {
        inputs(graph, 'queue-events').visibilityTimeoutSeconds = 179
      },
      graph => {
        inputs(graph, 'function-ingest').timeout = 31
      },
      graph => {
        inputs(graph, 'source-events').maximumBatchingWindowInSeconds = 5
      },
    ],
  },
  {
    name: 'dead messages are kept longer than living ones, and for two weeks',
    faults: graph => [
      ...faulty(dead(graph), kept => kept.messageRetentionSeconds !== 1_209_600 && 'forgets early'),
      ...faulty(live(graph), kept => {
        const seconds = kept.messageRetentionSeconds ?? 345_600
        return (seconds < 345_600 || seconds >= 1_209_600) && `keeps messages for ${seconds} s`
      }),
    ],
    plants: [
      graph => delete inputs(graph, 'queue-events-dead').messageRetentionSeconds,
      graph => {
        inputs(graph, 'queue-work').messageRetentionSeconds = 3600
      },
    ],
  },
  {
    name: 'each queue of a function has one event source, which fails messages one by one, bounded',
    faults: graph => {
      const mappings = all(graph, 'lambda/eventSourceMapping')
      const wanted = Object.entries(QUEUES).filter(([, settings]) => 'source' in settings)
      return [
        ...wanted
          .filter(([name]) => !mappings.some(mapping => mapping.name === `source-${name}`))
          .map(([name]) => `queue-${name}: nobody reads it`),
        ...faulty(mappings, ({ functionResponseTypes = [], scalingConfig, eventSourceArn }) => {
          if (!functionResponseTypes.includes('ReportBatchItemFailures'))
            return 'sends a whole batch again for one message'
          if (!(scalingConfig?.maximumConcurrency >= 2)) return 'has no bound'
          const same = mappings.filter(each => each.inputs.eventSourceArn === eventSourceArn)
          return same.length > 1 && 'shares its queue with another event source'
        }),
      ]
    },
    plants: [
      graph => without(graph, 'source-events'),
      graph => {
        inputs(graph, 'source-events').functionResponseTypes = []
      },
      graph => delete inputs(graph, 'source-events').scalingConfig,
    ],
  },
  {
    name: 'an event source takes as many messages, as soon and as often at once as the table says',
    faults: graph =>
      faulty(all(graph, 'lambda/eventSourceMapping'), (mapping, { name }) => {
        const settings: QueueSettings | undefined = QUEUES[name.replace('source-', '') as QueueName]
        if (!settings?.source) return 'is in no table'
        const { source, batchMax } = settings
        const wrong = Object.entries({
          batchSize: [mapping.batchSize, batchMax],
          window: [mapping.maximumBatchingWindowInSeconds, source.windowS],
          concurrency: [mapping.scalingConfig?.maximumConcurrency, source.concurrencyMax],
        }).filter(([, [is, should]]) => is !== should)
        return wrong.length > 0 && wrong.map(([what, [is]]) => `has a ${what} of ${is}`).join(', ')
      }),
    plants: [
      graph => {
        inputs(graph, 'source-events').batchSize = 1
      },
      graph => {
        inputs(graph, 'source-events').maximumBatchingWindowInSeconds = 1
      },
      graph => {
        inputs(graph, 'source-events').scalingConfig = { maximumConcurrency: 1000 }
      },
    ],
  },
]
