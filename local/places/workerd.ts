/** The edge as it is deployed, on one machine: wrangler's bundle in workerd. */
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { openLog } from '#platform/log.ts'
import { endWithParent, reportReady } from '#platform/parent.ts'
import { bundleWorker, GZIP_BYTES_MAX } from '../workerd/bundle.ts'
import { startWorkerd } from '../workerd/instance.ts'
import { readWorkerdEnv } from './env.ts'

const env = readWorkerdEnv()
const clock = { now: () => Date.now() }
const log = openLog({ place: 'edge', clock })
endGroupWithUs()

const bundle = await bundleWorker(resolve(env.bundleFolder))
const { gzipBytes } = bundle
log.info('edge.bundle', { gzip_bytes: gzipBytes, within_budget: gzipBytes <= GZIP_BYTES_MAX })
const { host, port, bindings } = env
const [folder, temporaryFolder] = [resolve(env.objectsFolder), resolve(env.temporaryFolder)]
for (const path of [folder, temporaryFolder]) mkdirSync(path, { recursive: true, mode: 0o700 })
const edge = await startWorkerd({ bundle, host, port, bindings, folder, temporaryFolder, log })
endWithParent(() => edge.close())
reportReady()

/**
 * workerd does not notice that this process was killed, and would keep the port. Whoever is left in
 * our process group ends when the pipe from us closes.
 */
function endGroupWithUs(): void {
  try {
    process.kill(-process.pid, 0)
  } catch {
    // Not the head of a group: started by hand, together with who knows what.
    return
  }
  const script = 'cat >/dev/null; kill -9 "-$0"'
  const stdio = ['pipe', 'ignore', 'ignore'] as const
  const guard = spawn('/bin/sh', ['-c', script, String(process.pid)], { stdio: [...stdio] })
  guard.on('error', () => {})
  guard.stdin?.on('error', () => {})
  guard.unref()
}
