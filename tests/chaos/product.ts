/** The product under attack: one data folder and one port, started as often as it is killed. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { freePorts } from '#local/ports.ts'
import { type Product as Running, startProduct } from '../../bench/product.ts'
import { endAll, type Process, processesOf, stillThere } from './processes.ts'

export type Product = {
  url: string
  key: string
  dataFolder: string
  /** The journal of the recorder, beside the data folder. */
  journal: string
  /** Pid of the supervisor that runs now. */
  pid(): number
  /** Starts it, after it was killed or stopped, on the same folder and port. */
  start(options?: { record?: boolean }): Promise<void>
  /** As Ctrl-C does. */
  stop(): Promise<void>
  /** Ends whatever is left of it and removes its folder. */
  remove(): void
  /** Processes that outlived their supervisor into the next start; none may. */
  leftRunning: number
}

const GUARD_MS_MAX = 10_000
const ROOT = fileURLToPath(new URL('../../', import.meta.url))

export async function openProduct(options: {
  root?: string
  edge: 'node' | 'workerd'
  runners?: number
  keep?: boolean
  /** Besides what is inherited. */
  env?: Record<string, string>
}) {
  const folder = mkdtempSync(join(tmpdir(), 'galley-chaos-'))
  const dataFolder = join(folder, 'data')
  const journal = join(folder, 'journal')
  // Not one of those that the callers' own connections are given while nobody listens.
  const [port] = await freePorts(1)
  const root = options.root ?? ROOT
  let running: Running | undefined
  let before: Process[] = []

  /** The database's guard outlives a killed supervisor for as long as its signals take. */
  async function countLeft(withinMs = 0): Promise<void> {
    const end = performance.now() + withinMs
    while (stillThere(before).length > 0 && performance.now() < end) await sleep(100)
    const left = stillThere(before)
    product.leftRunning += left.length
    for (const { pid, command } of left) {
      process.stdout.write(`          left running: ${pid} ${command}\n`)
    }
  }

  const product: Product = {
    url: '',
    key: '',
    dataFolder,
    journal,
    leftRunning: 0,
    pid: () => running!.supervisor.pid!,
    async start({ record = false } = {}) {
      const preloads = [pathToFileURL(join(root, 'local/quick-imports.mjs')).href]
      if (record) preloads.push(recorder(journal, dataFolder))
      const flags = ['--disable-warning=ExperimentalWarning', ...preloads.map(p => `--import=${p}`)]
      running = await startProduct({
        root,
        dataFolder,
        port,
        edge: options.edge,
        runners: options.runners,
        env: {
          ...options.env,
          NODE_OPTIONS: flags.join(' '),
          NODE_COMPILE_CACHE: join(folder, 'compiled'),
        },
      })
      product.url = running.url
      product.key = running.key
      await countLeft(GUARD_MS_MAX)
      before = processesOf(product.pid())
    },
    async stop() {
      before = processesOf(product.pid())
      await running!.stop()
      await countLeft()
      before = []
    },
    remove() {
      endAll(before)
      if (running) endAll(processesOf(product.pid()))
      if (!options.keep) rmSync(folder, { recursive: true, force: true })
    },
  }
  return product
}

function recorder(journal: string, dataFolder: string): string {
  const url = new URL('./recorder.mjs', import.meta.url)
  url.searchParams.set('journal', journal)
  url.searchParams.set('data', dataFolder)
  return url.href
}
