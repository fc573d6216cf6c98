/** The suite of the objects over the place that runs them on `node:sqlite`. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openSigner, placeKey } from '#core/internal/signing.ts'
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
