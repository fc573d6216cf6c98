/** The two hosts of the features' object: the place that runs it over `node:sqlite`, and workerd. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import { bundleWorker } from '#local/workerd/bundle.ts'
import { startWorkerd } from '#local/workerd/instance.ts'
import { dialObjects } from '#platform/objects/channel.ts'
import { httpObjects, remoteFeatures } from '#platform/objects/remote.ts'
import { newId } from '#schemas/ids.ts'
import { type FeaturesEngine, featuresSuite } from './features-object.ts'

const PLACE = fileURLToPath(new URL('../../../local/places/objects.ts', import.meta.url))
const SECRET = 'a secret of the test alone, long enough'
const clock = { now: () => Date.now() }
const log = { info() {}, error() {} }

featuresSuite('node:sqlite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'galley-features-'))
  mkdirSync(join(folder, 'objects'))
  const key = await placeKey(SECRET, 'edge')
  const path = join(folder, 'objects.sock')
  const env = {
    GALLEY_OBJECTS_SOCKET: path,
    // Nobody listens: decisions wait to be told.
    GALLEY_FUNCTIONS_PORT: '9',
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
    async crash() {
      await end()
      child = await startPlace(folder, env)
    },
    async close() {
      dialled.close()
      await end()
      rmSync(folder, { recursive: true })
    },
  } satisfies FeaturesEngine
})

featuresSuite('workerd', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'galley-workerd-'))
  const nowhere = 'http://127.0.0.1:9'
  const before = new Set(children())
  const functionsKey = await placeKey(SECRET, 'functions')
  const edge = await startWorkerd({
    bundle: await bundleWorker(join(folder, 'bundle')),
    host: '127.0.0.1',
    port: 0,
    folder: join(folder, 'objects'),
    temporaryFolder: join(folder, 'temporary'),
    bindings: {
      FUNCTIONS_URL: nowhere,
      ROUTER_URL: nowhere,
      BLOBS_URL: nowhere,
      EDGE_KEY: 'A'.repeat(43),
      FUNCTIONS_KEY: functionsKey,
      PARTITIONS_PER_OBJECT: '64',
    },
    log,
  })
  const signer = await openSigner('functions', functionsKey)
  const call = httpObjects({ fetch: request => fetch(request), origin: edge.url, signer, clock })
  const features = remoteFeatures(call, 64)
  return {
    object: tenantId => features.group(tenantId, 0),
    async crash() {
      for (const pid of children()) if (!before.has(pid)) process.kill(pid, 'SIGKILL')
      const probe = () => features.group(newId('tenant'), 0).read({ planHash: '', keys: [] })
      const isBack = () => probe().catch(error => error.code === 'plan_wanted')
      while (!(await isBack())) await pause(50)
    },
    async close() {
      await edge.close()
      rmSync(folder, { recursive: true, force: true })
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

/** workerd is the child of the process that Miniflare runs in. */
function children(): number[] {
  const own = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8')
  return own.split(' ').filter(Boolean).map(Number)
}
