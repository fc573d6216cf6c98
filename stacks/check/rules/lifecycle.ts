/** What leaves a bucket by itself: neither too early nor never. */
import type { Graph, Inputs, Resource } from '../graph.ts'
import { all, faulty, inputs, type Rule, without } from '../rule.ts'

export const buckets = (graph: Graph) => all(graph, 's3/bucket')
/** What the product stores; logs that AWS writes are apart. */
const ofBlobs = (graph: Graph) => buckets(graph).filter(({ name }) => name !== 'bucket-logs')
/** The resource of this type that belongs to the bucket. */
export const ofBucket = (graph: Graph, type: string, { name }: Resource) =>
  all(graph, type).find(({ inputs: { bucket } }) => bucket === `${name}-id`)?.inputs

export const lifecycle: Rule[] = [
  {
    name: 'a bucket drops abandoned uploads, and keeps what was deleted for a month',
    faults: graph =>
      faulty(ofBlobs(graph), (_, bucket) => {
        const rules: Inputs[] =
          ofBucket(graph, 's3/bucketLifecycleConfiguration', bucket)?.rules ?? []
        const enabled = rules.filter(({ status }) => status === 'Enabled')
        if (!enabled.some(each => each.abortIncompleteMultipartUpload)) return 'keeps parts forever'
        const kept = LEFT.filter(
          prefix =>
            !enabled.some(each => each.filter?.prefix === prefix && each.expiration?.days > 0),
        )
        if (kept.length > 0) return `keeps what was left in ${kept} forever`
        if (!enabled.some(each => each.noncurrentVersionExpiration?.noncurrentDays >= 30))
          return 'keeps what was deleted forever, or too briefly'
        const versions = ofBucket(graph, 's3/bucketVersioning', bucket)
        return versions?.versioningConfiguration.status !== 'Enabled' && 'forgets what is deleted'
      }),
    plants: [
      graph => without(graph, 'bucket-blobs-lifecycle'),
      graph => {
        inputs(graph, 'bucket-blobs-lifecycle').rules[0].status = 'Disabled'
      },
      graph => {
        const of = inputs(graph, 'bucket-blobs-lifecycle')
        of.rules = of.rules.filter(({ filter }: Inputs) => filter.prefix !== 'uploads/')
      },
      graph => without(graph, 'bucket-blobs-versions'),
    ],
  },
  {
    name: 'the body of a message in a blob is kept for longer than any message, and not forever',
    faults: graph => {
      const kept = all(graph, 'sqs/queue').map(
        ({ inputs: { messageRetentionSeconds = 345_600 } }) => messageRetentionSeconds,
      )
      return faulty(ofBlobs(graph), (_, bucket) => {
        const rules: Inputs[] =
          ofBucket(graph, 's3/bucketLifecycleConfiguration', bucket)?.rules ?? []
        const days = rules.find(
          ({ status, filter }) => status === 'Enabled' && filter?.prefix === 'blobs/messages/',
        )?.expiration?.days
        if (!days) return 'keeps bodies of messages forever'
        return !(days * 86_400 > Math.max(...kept)) && 'forgets bodies that a message still names'
      })
    },
    plants: [
      graph => {
        bodiesRule(graph).status = 'Disabled'
      },
      graph => {
        bodiesRule(graph).expiration = { days: 14 }
      },
    ],
  },
]

/** Where parts and pieces stand until they are joined (`platform/blob/s3.ts`, `signed.ts`). */
const LEFT = ['unfinished/', 'blobs/pieces/', 'uploads/']

function bodiesRule(graph: Graph): Inputs {
  const { rules } = inputs(graph, 'bucket-blobs-lifecycle')
  return rules.find(({ filter }: Inputs) => filter?.prefix === 'blobs/messages/')
}
