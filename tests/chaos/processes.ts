/** The product's processes as the system shows them: which is which, and which are still the same. */
import { readFileSync } from 'node:fs'
import { commandOf, treeOf } from '../../bench/processes.ts'

/** A pid may be given out again; with the moment of its start it may not. */
export type Process = { pid: number; startedAt: string; command: string }
export type Place =
  | 'edge'
  | 'objects'
  | 'functions'
  | 'runner'
  | 'engine'
  | 'validator'
  | 'postgres'

const COMMANDS: Record<Place, RegExp> = {
  edge: /local\/places\/(edge|workerd)\.ts/,
  objects: /local\/places\/objects\.ts/,
  functions: /local\/places\/functions\.ts/,
  runner: /gpu-runners\/worker\.ts/,
  engine: /^\S*node.*engines\/child\.ts/,
  validator: /^\S*node.*validate\/child\.ts/,
  postgres: /^\S*postgres -D/,
}

/** The supervisor and all that it started. */
export function processesOf(supervisor: number): Process[] {
  return treeOf(supervisor).flatMap(pid => {
    const startedAt = startOf(pid)
    return startedAt === null ? [] : [{ pid, startedAt, command: commandOf(pid) }]
  })
}

/** The processes of a place; of PostgreSQL the postmaster alone. */
export function placesOf(supervisor: number, place: Place): Process[] {
  return processesOf(supervisor).filter(({ command }) => COMMANDS[place].test(command))
}

export function stillThere(processes: readonly Process[]): Process[] {
  return processes.filter(({ pid, startedAt }) => startOf(pid) === startedAt)
}

export function signal(process: Process, name: NodeJS.Signals): boolean {
  if (startOf(process.pid) !== process.startedAt) return false
  try {
    globalThis.process.kill(process.pid, name)
    return true
  } catch {
    return false
  }
}

export function endAll(processes: readonly Process[]): void {
  for (const process of processes) signal(process, 'SIGKILL')
}

/** Clock ticks since boot at its start; null: it is gone, or dead and only not yet buried. */
function startOf(pid: number): string | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? null : fields[19]!
  } catch {
    return null
  }
}
