/** Real processes for the tests of one machine, all of them ended with the test. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

export type Program = {
  pid: number
  child: ChildProcess
  /** The newest line of JSON that it printed; waits for one that satisfies the condition. */
  said(condition?: (line: Record<string, number>) => boolean): Promise<Record<string, number>>
  /** Exit code and everything it wrote to its error output. */
  ended: Promise<{ code: number | null; stderr: string }>
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'galley-test-'))
  onTestFinished(async () => {
    // A server that is on its way down may still write into it.
    for (; existsSync(folder); await pause(50)) remove(folder)
  })
  return folder
}

function remove(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true })
  } catch {
    // Something was added in the meantime; the next round takes it.
  }
}

/** Starts one of the programs beside this file. */
export function startProgram(name: string, ...args: string[]): Program {
  const entry = fileURLToPath(new URL(name, import.meta.url))
  const flags = ['--disable-warning=ExperimentalWarning', entry, ...args]
  const child = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'pipe'] })
  let newest: Record<string, number> | undefined
  createInterface({ input: child.stdout }).on('line', line => {
    newest = JSON.parse(line)
  })
  let stderr = ''
  child.stderr.on('data', chunk => {
    stderr += chunk
  })
  const ended = new Promise<{ code: number | null; stderr: string }>(resolve => {
    child.on('exit', code => resolve({ code, stderr }))
  })
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const said = async (condition = (_: Record<string, number>) => true) => {
    await until(() => {
      if (child.exitCode !== null) throw new Error(`it ended: ${stderr}`)
      return newest !== undefined && condition(newest)
    })
    return newest!
  }
  return { pid: child.pid!, child, said, ended }
}

/** Waits for a condition; the test's own time limit is the only one. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(20)
}

/** Zombies whose parent does not look after them count as gone. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return false
  }
}
