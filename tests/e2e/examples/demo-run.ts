/** A demo as its README says it is started, with a product of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

/** The last line of one that ends well. */
export async function demo(name: string, flags: Record<string, string | number>) {
  const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, `${value}`])
  const child = spawn(process.execPath, ['bench/demo.ts', name, ...args], { cwd: ROOT })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', chunk => {
      printed += chunk
    })
  }
  const [code] = await once(child, 'close')
  expect(code, printed).toBe(0)
  return JSON.parse(printed.trimEnd().split('\n').at(-1)!)
}
