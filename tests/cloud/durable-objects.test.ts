/** The suites of the objects over Durable Objects, in workerd with the edge's bundle. */
import { setTimeout as pause } from 'node:timers/promises'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import { httpApplyAt, httpObjects } from '#platform/objects/http.ts'
import { remoteFeatures } from '#platform/objects/remote.ts'
import { newId } from '#schemas/ids.ts'
import { type FeaturesEngine, featuresSuite } from '../conformance/objects/features-object.ts'
import { startFunctionsServer } from '../conformance/objects/functions-server.ts'
import { type ObjectsEngine, objectsSuite } from '../conformance/objects/objects.ts'
import { EDGE_KEY, startWorkerHost } from './worker-host.ts'

const clock = { now: () => Date.now() }
const functionsKey = await placeKey('a secret of the test alone, long enough', 'functions')

objectsSuite('workerd', async () => {
  const host = await startWorkerHost(functionsKey)
  const lease = host.tenants.leaseRate as ObjectsEngine['leaseRate']
  return {
    async leaseRate(tenant, input) {
      // A plain copy: what comes out of workerd is a stub.
      const { granted, validUntil, retryAfterMs } = await lease(tenant, input)
      return { granted, validUntil, retryAfterMs }
    },
    async crash() {
      host.kill()
      const probe = { limit: 'probe', perS: 1, burst: 1, want: 1 }
      while (!(await lease('probe', probe).catch(() => null))) await pause(50)
    },
    close: () => host.close(),
  } satisfies ObjectsEngine
})

featuresSuite('workerd', async () => {
  const functions = await startFunctionsServer(EDGE_KEY)
  const host = await startWorkerHost(functionsKey, functions.url)
  const signer = await openSigner('functions', functionsKey)
  const at = { fetch: (request: Request) => fetch(request), origin: host.url, signer, clock }
  const features = remoteFeatures(httpObjects(at), 64, httpApplyAt(at))
  return {
    object: tenantId => features.group(tenantId, 0),
    functions,
    async crash() {
      host.kill()
      const probe = () => features.group(newId('tenant'), 0).read({ planHash: '', keys: [] })
      const isBack = () => probe().catch(error => error.code === 'plan_wanted')
      while (!(await isBack())) await pause(50)
    },
    async close() {
      await host.close()
      await functions.close()
    },
  } satisfies FeaturesEngine
})
