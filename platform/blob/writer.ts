/**
 * Who writes a file stands in its name, so that the leftovers of a killed process can be told from the
 * work of a living one, also when several machines or containers share the folder.
 */
import { createHash } from 'node:crypto'
import { readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

const TAG = /^([0-9a-f]{8})-(\d+)-/
// A process id means something within its machine and its process namespace alone.
const place = createHash('sha256').update(`${hostname()} ${namespace()}`).digest('hex').slice(0, 8)

export function writerTag(): string {
  return `${place}-${process.pid}-`
}

/** True when whoever began this file is known to be gone. `name` is the part that starts with the tag. */
export function isWriterGone(name: string): boolean {
  const [, where, pid] = TAG.exec(name) ?? []
  return where === place && pid !== undefined && !isAlive(Number(pid))
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
