/** The file of one segment of the receipt log: written whole, taken back, read after whatever happened. */
import { ftruncateSync, writeSync } from 'node:fs'
import type { Log } from '#core/deps.ts'

/** Takes back what a full disk took of a write: it is refused to its callers, so it is not billed either. */
export function undo(fd: number, bytes: number): void {
  try {
    ftruncateSync(fd, bytes)
  } catch {
    // The error that is thrown is the first one.
  }
}

export function writeWhole(fd: number, bytes: Buffer): void {
  let at = 0
  while (at < bytes.length) at += writeSync(fd, bytes, at)
}

/** The lines of a segment. A process that died while writing leaves half a line, a power failure worse. */
export function wholeLines(text: string, leftByDead: boolean, log: Log): string[] {
  const lines = text.split('\n')
  const torn = lines.pop()
  if (torn) log.error('receipts.torn_line', { bytes: torn.length })
  if (!leftByDead) return lines
  const whole = lines.filter(isLine)
  if (whole.length < lines.length)
    log.error('receipts.broken_lines', { lines: lines.length - whole.length })
  return whole
}

function isLine(text: string): boolean {
  try {
    const line = JSON.parse(text)
    return Array.isArray(line) || typeof line?.is === 'object'
  } catch {
    return false
  }
}
