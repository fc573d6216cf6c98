/** One more runner beside a product on this machine: told what one of its own was told, but for what differs. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

/** `first`: the process of a runner. Resolves when the other one is up; it ends with its standard input. */
export async function startRunner(
  first: number,
  name: string,
  differs: Record<string, string> = {},
): Promise<ChildProcess> {
  const { env, args, cwd } = asStarted(first)
  const log = openSync(join(cwd, 'log', `${name}.log`), 'a')
  const stdio = ['pipe', log, log, 'pipe'] as const
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...env, ...differs, GALLEY_RUNNER: name },
    stdio: [...stdio],
  })
  closeSync(log)
  child.stdin!.on('error', () => {})
  const lines = createInterface({ input: child.stdio[3] as Readable })
  const ended = once(child, 'exit').then(() => Promise.reject(new Error(`${name} did not start`)))
  ended.catch(() => {})
  await Promise.race([once(lines, 'line'), ended])
  return child
}

function asStarted(pid: number) {
  const read = (name: string) => readFileSync(`/proc/${pid}/${name}`, 'utf8').split('\0')
  const pairs = read('environ').filter(Boolean)
  const env = Object.fromEntries(
    pairs.map(pair => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  )
  return { env, args: read('cmdline').slice(1, -1), cwd: readlinkSync(`/proc/${pid}/cwd`) }
}
