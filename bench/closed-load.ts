/** Starts the closed-loop generator and gives what it reports: callers who each wait for their answer. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export type Target = { port: number; path: string; key: string; body: string }
export type ClosedLoad = { requests: number; p50_ms: number; p99_ms: number }

const CALLERS = fileURLToPath(new URL('./load.ts', import.meta.url))
const ONE_CALLER = fileURLToPath(new URL('./one-caller.ts', import.meta.url))

/** Throws when a request failed. */
export function closedLoad(
  target: Target,
  o: { callers: number; ms: number },
): Promise<ClosedLoad> {
  return generate(CALLERS, target, { connections: o.callers, ms: o.ms })
}

/** One caller who asks at a stated rate; a latency counts from the moment at which its request was due. */
export function oneCaller(target: Target, o: { perS: number; ms: number }): Promise<ClosedLoad> {
  return generate(ONE_CALLER, target, { rate: o.perS, ms: o.ms })
}

async function generate(entry: string, target: Target, options: Record<string, number>) {
  const flags = Object.entries({ ...target, ...options })
  const args = flags.flatMap(([name, value]) => [`--${name}`, String(value)])
  const child = spawn(process.execPath, [entry, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', chunk => {
    text += chunk
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`the load generator ended with ${code}`)
  const { failed, ...result } = JSON.parse(text) as ClosedLoad & { failed: number }
  if (failed > 0) throw new Error(`${failed} of ${result.requests} requests failed`)
  return result
}
