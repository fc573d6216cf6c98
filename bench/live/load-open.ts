/** Starts the open-loop generator on a running product and gives what it reports. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Product } from '../product.ts'

export type OpenLoad = {
  requests: number
  rate: number
  achieved_per_s: number
  statuses: Record<string, number>
  broken: number
  p50_ms: number
  p90_ms: number
  p99_ms: number
  max_ms: number
}

const GENERATOR = fileURLToPath(new URL('./open-loop.ts', import.meta.url))

/** `work` is a module beside this one; its `args` travel as JSON. */
export async function openLoad(
  product: Product,
  o: { work: string; args?: unknown; rate: number; seconds: number; connections?: number },
): Promise<OpenLoad & Record<string, unknown>> {
  const { port } = new URL(product.url)
  const work = fileURLToPath(new URL(o.work, import.meta.url))
  const flags = {
    port,
    key: product.key,
    work,
    args: JSON.stringify(o.args ?? {}),
    rate: String(o.rate),
    seconds: String(o.seconds),
    connections: String(o.connections ?? 64),
  }
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])
  const child = spawn(process.execPath, [GENERATOR, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let printed = ''
  child.stdout.on('data', chunk => {
    printed += chunk
  })
  const [code] = await once(child, 'close')
  const last = printed.trim().split('\n').at(-1)
  if (code !== 0 || !last) throw new Error(`the load generator ended with ${code}`)
  return JSON.parse(last)
}
