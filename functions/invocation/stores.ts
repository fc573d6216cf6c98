/** Queues, blobs and objects of the cloud, each opened by the functions that use it. */
import type { FeatureObjects, Queue } from '#core/deps.ts'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import { httpObjects, remoteFeatures } from '#platform/objects/remote.ts'
import { sqsQueue } from '#platform/queue/sqs.ts'
import { sqsClient } from '#platform/queue/sqs-client.ts'
import type { QueueName } from '#schemas/queues.ts'
import type { Base } from './base.ts'
import { readPlaces, readQueues } from './env.ts'

export function openQueue(): Queue {
  const urls = Object.entries(readQueues()).map(([name, url]) => [
    name,
    { url, deadUrl: `${url}-dead` },
  ])
  const byName = Object.fromEntries(urls) as Record<QueueName, { url: string; deadUrl: string }>
  return sqsQueue({ client: sqsClient(), urls: byName })
}

/** The objects of the Worker, by signed requests. */
export async function openFeatures({ secret, clock }: Base): Promise<FeatureObjects> {
  const places = readPlaces(['GALLEY_FEATURES_URL', 'GALLEY_PARTITIONS_PER_OBJECT'])
  const signer = await openSigner('functions', await placeKey(secret, 'functions'))
  const origin = places.GALLEY_FEATURES_URL.replace(/\/+$/, '')
  const call = httpObjects({ fetch, origin, signer, clock })
  return remoteFeatures(call, places.GALLEY_PARTITIONS_PER_OBJECT)
}
