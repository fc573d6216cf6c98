/** The queue of large uploads, as its event source hands it over. */
import { type Invocation, invoked, openBase } from '../invocation/base.ts'
import { eachMessage } from '../invocation/batch.ts'
import { plainBlobs } from '../invocation/bodies.ts'
import { readPlaces } from '../invocation/env.ts'
import { openBodies, openQueue } from '../invocation/stores.ts'
import { verifyUploads } from '../models/uploads.ts'

const base = await openBase('verify')
const { GALLEY_BUCKET: bucket } = readPlaces(['GALLEY_BUCKET'])
const deps = {
  ...base,
  // To keep its message.
  queue: openQueue(base),
  queueSystem: 'aws_sqs' as const,
  blobs: plainBlobs(bucket),
}
const bodies = openBodies(base)

export const handler = (event: unknown, invocation: Invocation) =>
  invoked(base, 'verify', invocation, () =>
    eachMessage(event, bodies, (messages, taken) => verifyUploads(deps, messages, taken)),
  )
