/** The two hosts of objects: the place that runs them over `node:sqlite`, and workerd with the edge's bundle. */
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
import { remoteObjects } from '#platform/objects/remote.ts'
import type { TenantId } from '#schemas/ids.ts'
import { type ObjectsEngine, objectsSuite } from './objects.ts'

const PLACE = fileURLToPath(new URL('../../../local/places/objects.ts', import.meta.url))
const log = { info() {}, error() {} }

objectsSuite('node:sqlite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'galley-objects-'))
  mkdirSync(join(folder, 'objects'))
  const key = await placeKey('a secret of the test alone, long enough', 'edge')
  const path = join(folder, 'objects.sock')
  const env = {
    GALLEY_OBJECTS_SOCKET: path,
    GALLEY_FUNCTIONS_PORT: '9',
    GALLEY_EDGE_KEY: key,
    GALLEY_FUNCTIONS_KEY: key,
  }
  const start = () => startPlace(folder, env)
  let child = await start()
  const dialled = dialObjects({
    path,
    name: 'test',
    signer: await openSigner('edge', key),
    clock: { now: () => Date.now() },
    log,
  })
  const objects = remoteObjects(dialled.call)
  const end = async () => {
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
  return {
    leaseRate: (tenant, input) => objects.tenant(tenant as TenantId).leaseRate(input),
    async crash() {
      await end()
      child = await start()
    },
    async close() {
      dialled.close()
      await end()
      rmSync(folder, { recursive: true })
    },
  } satisfies ObjectsEngine
})

objectsSuite('workerd', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'galley-workerd-'))
  const nowhere = 'http://127.0.0.1:9'
  const before = new Set(children())
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
      FUNCTIONS_KEY: 'A'.repeat(43),
      PARTITIONS_PER_OBJECT: '64',
    },
    log,
  })
  const lease = edge.tenants.leaseRate as ObjectsEngine['leaseRate']
  return {
    async leaseRate(tenant, input) {
      // A plain copy: what comes out of workerd is a stub.
      const { granted, validUntil, retryAfterMs } = await lease(tenant, input)
      return { granted, validUntil, retryAfterMs }
    },
    async crash() {
      for (const pid of children()) if (!before.has(pid)) process.kill(pid, 'SIGKILL')
      const probe = { limit: 'probe', perS: 1, burst: 1, want: 1 }
      while (!(await lease('probe', probe).catch(() => null))) await pause(50)
    },
    async close() {
      await edge.close()
      rmSync(folder, { recursive: true, force: true })
    },
  } satisfies ObjectsEngine
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
