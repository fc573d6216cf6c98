/** The whole product in a temporary folder, as a child process, for what is shown from outside. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export type Product = {
  url: string
  /** Host and port. */
  grpc: string
  key: string
  dataFolder: string
  /** From spawning to the word that it is ready. */
  startMs: number
  supervisor: ChildProcess
  stop(): Promise<void>
}
export type ProductOptions = {
  edge?: 'node' | 'workerd'
  dataFolder?: string
  port?: number
  /** As many, or a range as in "0..8". */
  runners?: number | string
  /** The project to start; another one than this where faults are planted. */
  root?: string
  env?: Record<string, string>
}

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** Starts it and resolves when it is ready. Rejects with what it printed if it ends before. */
export async function startProduct(options: ProductOptions = {}): Promise<Product> {
  const dataFolder = options.dataFolder ?? mkdtempSync(join(tmpdir(), 'galley-bench-'))
  const port = options.port ?? (await freePort())
  const entry = join(options.root ?? ROOT, 'local/start.ts')
  const args = [
    entry,
    '--data',
    dataFolder,
    '--port',
    String(port),
    '--edge',
    options.edge ?? 'node',
    '--runners',
    String(options.runners ?? 1),
  ]
  const began = performance.now()
  const supervisor = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  })
  let printed = ''
  const ready = new Promise<void>(resolve => {
    const read = (chunk: Buffer) => {
      printed += chunk
      if (/^ready/m.test(printed)) resolve()
    }
    supervisor.stdout!.on('data', read)
    supervisor.stderr!.on('data', read)
  })
  const ended = once(supervisor, 'exit').then(() => {
    throw new Error(`The product ended before it was ready: ${printed}`)
  })
  ended.catch(() => {})
  await Promise.race([ready, ended])
  const startMs = Math.round(performance.now() - began)
  const { url, grpc, key } = JSON.parse(readFileSync(join(dataFolder, 'local.json'), 'utf8'))
  return {
    url,
    grpc,
    key,
    dataFolder,
    startMs,
    supervisor,
    async stop() {
      if (supervisor.exitCode === null && supervisor.signalCode === null) {
        supervisor.kill('SIGINT')
        await once(supervisor, 'exit')
      }
      if (!options.dataFolder) rmSync(dataFolder, { recursive: true, force: true })
    },
  }
}

export function freePort(): Promise<number> {
  return new Promise(resolve => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}
