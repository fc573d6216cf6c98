/** Feast's own feature server over SQLite, filled with what the product answered just before. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { FEAST_ENV, type Python } from '../../../tests/conformance/clients/feast/python.ts'
import { freePort } from '../../product.ts'

const run = promisify(execFile)
const FILL = fileURLToPath(new URL('./fill.py', import.meta.url))
const READY_MS_MAX = 60_000
/** As many as there are cores, as its makers advise; none of them is restarted or re-reads its registry. */
const WORKERS = availableParallelism()
const FLAGS = ['--no-access-log', '--max-requests', '0', '--registry_ttl_sec', '86400']

export type FeastServer = { url: string; workers: number; stop(): Promise<void> }

export async function startFeast(
  { python, feast }: Exclude<Python, { reason: string }>,
  answer: string,
): Promise<FeastServer> {
  const folder = mkdtempSync(join(tmpdir(), 'galley-feast-'))
  const env = { ...process.env, ...FEAST_ENV }
  const file = join(folder, 'answer.json')
  writeFileSync(file, answer)
  await run(python, [FILL, folder, file], { env, maxBuffer: 2 ** 26 })
  const port = await freePort()
  const workers = ['--workers', String(WORKERS)]
  const args = ['serve', '--host', '127.0.0.1', '--port', String(port), ...workers, ...FLAGS]
  const child = spawn(feast, args, { cwd: folder, env, stdio: 'ignore' })
  const url = `http://127.0.0.1:${port}`
  const server: FeastServer = {
    url,
    workers: WORKERS,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM')
        await once(child, 'exit')
      }
      rmSync(folder, { recursive: true, force: true })
    },
  }
  try {
    await ready(url)
    return server
  } catch (error) {
    await server.stop()
    throw error
  }
}

async function ready(url: string): Promise<void> {
  const until = performance.now() + READY_MS_MAX
  for (;;) {
    const reply = await fetch(`${url}/health`).catch(() => null)
    await reply?.arrayBuffer()
    if (reply?.ok) return
    if (performance.now() > until) throw new Error('the server of Feast did not become ready')
    await sleep(200)
  }
}
