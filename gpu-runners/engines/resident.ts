/** Memory that a process holds, as the system counts it. */
import { readFileSync } from 'node:fs'

/**
 * Proportional set size in bytes: pages that processes share count once over all of them. 0 where the
 * system does not tell, and of a process that has ended. Takes up to a millisecond: not for every batch.
 */
export function residentBytes(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')
    return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}
