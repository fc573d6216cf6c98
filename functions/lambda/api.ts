/** The control API behind its gateway. */
import { openVerifier, PLACES, placeKey } from '#core/internal/signing.ts'
import { openVault } from '#core/internal/vault.ts'
import { createApi } from '../api.ts'
import type { FunctionsDeps } from '../deps.ts'
import { type Invocation, invoked, openBase } from '../invocation/base.ts'
import { readPlaces } from '../invocation/env.ts'
import { openBlobs, openSegmentFiles, signBlobs } from '../invocation/files.ts'
import { replyOf, requestOf } from '../invocation/http.ts'
import { openRelay } from '../invocation/relay.ts'
import { openFeatures, openQueue } from '../invocation/stores.ts'

/** Of the 512 MB that the function has for files. */
const CACHE_BYTES_MAX = 134_217_728

const base = await openBase('api')
const queue = openQueue(base)
const relay = openRelay({ ...base, queue })
const keys = PLACES.map(async place => [place, await placeKey(base.secret, place)])
const deps: FunctionsDeps = {
  ...base,
  queue,
  queueSystem: 'aws_sqs',
  features: await openFeatures(base),
  blobs: openBlobs(CACHE_BYTES_MAX),
  signBlobs: signBlobs(),
  verifier: await openVerifier(Object.fromEntries(await Promise.all(keys))),
  vault: await openVault(base.secret),
  ...(await openSegmentFiles()),
  suppliedClasses: readPlaces(['GALLEY_RUNNER_CLASSES']).GALLEY_RUNNER_CLASSES,
  exporting: new Set(),
  contexts: new Map(),
  // Frozen with the reply.
  afterReply: null,
  promised: relay.promised,
}
const api = createApi(deps)

export const handler = (event: unknown, invocation: Invocation) =>
  invoked(base, 'api', invocation, async () => {
    const reply = await replyOf(await api(requestOf(event)))
    await relay.settled()
    return reply
  })
