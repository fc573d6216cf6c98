/**
 * Who writes a file stands in its name, so that the leftovers of a killed process can be told from the
 * work of a living one, also when several machines or containers share the folder.
 */
import { createHash } from 'node:crypto'
import { readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** Longer than any write takes, also by a process that was stopped for a while. */
const ABANDONED_AFTER_MS = 86_400_000
const TAG = /^([0-9a-f]{8})-(\d+)-/
// A process id means something within its machine and its process namespace alone.
const place = createHash('sha256').update(`${hostname()} ${namespace()}`).digest('hex').slice(0, 8)

export function writerTag(): string {
  return `${place}-${process.pid}-`
}

/** True when whoever began this file will not finish it. `name` is the part that starts with the tag. */
export function isAbandoned(name: string, ageMs: number): boolean {
  const [, where, pid] = TAG.exec(name) ?? []
  if (where === place && pid && !isAlive(Number(pid))) return true
  return ageMs > ABANDONED_AFTER_MS
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function namespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return ''
  }
}
