/** Who is measured: the product, the bare engine, and the Python servers, each started for its round alone. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Galley } from '#sdk/client.ts'
import { treeOf } from '../processes.ts'
import { freePort, startProduct } from '../product.ts'
import { rowOf, SIGNATURE } from './models.ts'
import { environmentOf } from './python/environment.ts'
import { PEERS, type Peer, type PeerName } from './python/peers.ts'

export type Running = {
  port: number
  path: string
  key: string
  /** It and its descendants are what is measured. */
  pid: number
  body(row: number[]): string
  value(reply: string): number
  stop(): Promise<void>
}
export type Contender = {
  name: string
  settings: string
  isPeer?: boolean
  start(graphPath: string): Promise<Running>
}

const BARE = fileURLToPath(new URL('../overhead/bare-server.ts', import.meta.url))
const PYTHON = fileURLToPath(new URL('./python/', import.meta.url))
const READY_MS_MAX = 90_000
const STOP_MS_MAX = 8_000

const INFER = {
  body: (row: number[]) =>
    JSON.stringify({
      inputs: [{ name: 'x', shape: [1, row.length], datatype: 'FP32', data: row }],
    }),
  value: (reply: string) => JSON.parse(reply).outputs[0].data[0] as number,
}

export const GALLEY: Contender = {
  name: 'galley',
  settings: 'as npm start starts it: keys, limits, receipts, ledger',
  async start(graphPath) {
    const product = await startProduct()
    const { url, key } = product
    const galley = new Galley({ baseUrl: url, key })
    await galley.publish('model', { 'model.onnx': readFileSync(graphPath) })
    const port = Number(new URL(url).port)
    const path = '/v2/models/model/infer'
    const pid = product.supervisor.pid!
    return { ...INFER, port, path, key, pid, stop: () => product.stop() }
  },
}

export const BARE_ENGINE: Contender = {
  name: 'bare',
  settings: 'node:http before the same codec, batcher and engine: no keys, limits or receipts',
  async start(graphPath) {
    const child = spawn(process.execPath, [BARE, graphPath, JSON.stringify(SIGNATURE)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const [line] = await once(child.stdout, 'data')
    const { port } = JSON.parse(String(line)) as { port: number }
    const stop = async () => {
      child.stdin.end()
      await once(child, 'exit')
    }
    return { ...INFER, port, path: '/', key: '', pid: child.pid!, stop }
  },
}

/** Of the peers that are wanted those that install, and why the others are left out. */
export async function peers(wanted: readonly string[], say: (line: string) => void) {
  const found: Contender[] = []
  const missing: Record<string, string> = {}
  for (const peer of PEERS) {
    if (!wanted.includes(peer.name)) continue
    const environment = await environmentOf(peer.name, peer.packages, say)
    if ('reason' in environment) missing[peer.name] = environment.reason
    else found.push(contenderOf(peer, environment.bin))
  }
  return { found, missing }
}

export const PEER_NAMES: readonly PeerName[] = PEERS.map(peer => peer.name)

function contenderOf(peer: Peer, bin: string): Contender {
  const { name, settings, path, body, value } = peer
  return {
    name,
    settings,
    isPeer: true,
    async start(graphPath) {
      const folder = mkdtempSync(join(tmpdir(), `galley-${name}-`))
      const port = await freePort()
      const ports = [await freePort(), await freePort()]
      const [command, ...args] = peer.command({ port, ports, folder })
      const child = spawn(join(bin, command!), args, {
        cwd: folder,
        env: {
          ...process.env,
          PATH: `${bin}:${process.env.PATH}`,
          PYTHONPATH: PYTHON,
          PYTHONUNBUFFERED: '1',
          // Written beside the sources they would be taken for part of the project.
          PYTHONDONTWRITEBYTECODE: '1',
          OMP_NUM_THREADS: '1',
          BENCH_GRAPH: graphPath,
          BENCH_PORT: String(port),
          ...peer.env({ folder, ports }),
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let printed = ''
      for (const stream of [child.stdout!, child.stderr!]) {
        stream.on('data', chunk => {
          printed = (printed + chunk).slice(-4_000)
        })
      }
      const stop = async () => {
        await end(child)
        rmSync(folder, { recursive: true, force: true })
      }
      try {
        await answering(`http://127.0.0.1:${port}${path}`, body(rowOf(0)), child)
      } catch (error) {
        await stop()
        throw new Error(`${name}: ${(error as Error).message}\n${printed}`)
      }
      return { port, path, key: '', pid: child.pid!, body, value, stop }
    },
  }
}

async function answering(url: string, body: string, child: ChildProcess): Promise<void> {
  const until = performance.now() + READY_MS_MAX
  const headers = { 'content-type': 'application/json' }
  for (;;) {
    const reply = await fetch(url, { method: 'POST', headers, body }).catch(() => null)
    const text = await reply?.text()
    if (reply?.ok) return
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`)
    if (performance.now() > until) throw new Error(`it did not answer: ${reply?.status} ${text}`)
    await sleep(200)
  }
}

/** Asks the process to end, and ends with it whatever it has started and left. */
async function end(child: ChildProcess): Promise<void> {
  const started = treeOf(child.pid!)
  if (child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await Promise.race([ended, sleep(STOP_MS_MAX, undefined, { ref: false })])
  }
  for (const pid of started) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
}
