/** The suite of key records over KV, in workerd with the edge's bundle. */
import { keyRecordsSuite } from '../conformance/key-records.ts'
import { startWorkerHost } from './worker-host.ts'

keyRecordsSuite('KV of workerd', async () => {
  const host = await startWorkerHost('A'.repeat(43))
  return { store: host.keys, close: () => host.close() }
})
