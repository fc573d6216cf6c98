/** Queues and objects of the cloud, each opened by the functions that use it. */
import type { FeatureObjects, Queue } from '#core/deps.ts'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import { httpApplyAt, httpObjects } from '#platform/objects/http.ts'
import { remoteFeatures } from '#platform/objects/remote.ts'
import { type Bodies, largeBodies } from '#platform/queue/bodies.ts'
import { sqsQueue } from '#platform/queue/sqs.ts'
import { sqsClient } from '#platform/queue/sqs-client.ts'
import type { Base } from './base.ts'
import { readPlaces, readQueues } from './env.ts'

type Logging = Pick<Base, 'log'>

export function openQueue({ log }: Logging): Queue {
  return sqsQueue({ client: sqsClient(), urls: readQueues(), blobs: blobsOnDemand(), log })
}

/** For who is handed messages, and receives none. */
export function openBodies({ log }: Logging): Bodies {
  return largeBodies({ blobs: blobsOnDemand(), log })
}

/** A function starts without what few messages need. */
function blobsOnDemand() {
  const { GALLEY_BUCKET: bucket } = readPlaces(['GALLEY_BUCKET'])
  return async () => (await import('./bodies.ts')).plainBlobs(bucket)
}

/** The objects of the Worker, by signed requests. */
export async function openFeatures({ secret, clock }: Base): Promise<FeatureObjects> {
  const places = readPlaces(['GALLEY_FEATURES_URL', 'GALLEY_PARTITIONS_PER_OBJECT'])
  const signer = await openSigner('functions', await placeKey(secret, 'functions'))
  const origin = places.GALLEY_FEATURES_URL.replace(/\/+$/, '')
  const at = { fetch, origin, signer, clock }
  return remoteFeatures(httpObjects(at), places.GALLEY_PARTITIONS_PER_OBJECT, httpApplyAt(at))
}
