/** The suite of the features' object over the place that runs it on `node:sqlite`. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import { dialObjects } from '#platform/objects/channel.ts'
import { remoteFeatures } from '#platform/objects/remote.ts'
import { type FeaturesEngine, featuresSuite } from './features-object.ts'
import { startFunctionsServer } from './functions-server.ts'

const PLACE = fileURLToPath(new URL('../../../local/places/objects.ts', import.meta.url))
const SECRET = 'a secret of the test alone, long enough'
const clock = { now: () => Date.now() }
const log = { info() {}, error() {} }

featuresSuite('node:sqlite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'galley-features-'))
  mkdirSync(join(folder, 'objects'))
  const key = await placeKey(SECRET, 'edge')
  const functions = await startFunctionsServer(key)
  const path = join(folder, 'objects.sock')
  const env = {
    GALLEY_OBJECTS_SOCKET: path,
    GALLEY_FUNCTIONS_PORT: String(functions.port),
    GALLEY_EDGE_KEY: key,
    GALLEY_FUNCTIONS_KEY: key,
  }
  let child = await startPlace(folder, env)
  const signer = await openSigner('edge', key)
  const dialled = dialObjects({ path, name: 'test', signer, clock, log })
  const features = remoteFeatures(dialled.call, 1024)
  const end = async () => {
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
  return {
    object: tenantId => features.group(tenantId, 0),
    functions,
    async crash() {
      await end()
      child = await startPlace(folder, env)
    },
    async close() {
      dialled.close()
      await end()
      await functions.close()
      rmSync(folder, { recursive: true })
    },
  } satisfies FeaturesEngine
})

async function startPlace(cwd: string, env: Record<string, string>): Promise<ChildProcess> {
  const child = spawn(process.execPath, [PLACE], {
    cwd,
    env,
    stdio: ['pipe', 'ignore', 'inherit', 'pipe'],
  })
  child.on('error', () => {})
  await Promise.race([
    once(child.stdio[3]!, 'data'),
    once(child, 'exit').then(() => Promise.reject(new Error('the objects did not start'))),
  ])
  return child
}
