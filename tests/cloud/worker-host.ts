/** The edge's bundle in workerd, in a temporary folder: it may be killed, and comes back by itself. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundleWorker } from '#local/workerd/bundle.ts'
import { startWorkerd, type Workerd } from '#local/workerd/instance.ts'

export const EDGE_KEY = 'A'.repeat(43)
const NOWHERE = 'http://127.0.0.1:9'

export type WorkerHost = Pick<Workerd, 'url' | 'tenants' | 'keys'> & {
  /** kill -9. */
  kill(): void
  close(): Promise<void>
}

export async function startWorkerHost(
  functionsKey: string,
  functionsUrl = NOWHERE,
): Promise<WorkerHost> {
  const folder = mkdtempSync(join(tmpdir(), 'galley-workerd-'))
  const before = new Set(children())
  const { url, tenants, keys, close } = await startWorkerd({
    bundle: await bundleWorker(join(folder, 'bundle')),
    host: '127.0.0.1',
    port: 0,
    folder: join(folder, 'objects'),
    temporaryFolder: join(folder, 'temporary'),
    bindings: {
      FUNCTIONS_URL: functionsUrl,
      ROUTER_URL: NOWHERE,
      BLOBS_URL: NOWHERE,
      EDGE_KEY,
      FUNCTIONS_KEY: functionsKey,
      PARTITIONS_PER_OBJECT: '64',
    },
    log: { info() {}, error() {} },
  })
  return {
    url,
    tenants,
    keys,
    kill() {
      for (const pid of children()) if (!before.has(pid)) process.kill(pid, 'SIGKILL')
    },
    async close() {
      await close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** workerd is the child of the process that Miniflare runs in. */
function children(): number[] {
  const own = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8')
  return own.split(' ').filter(Boolean).map(Number)
}
