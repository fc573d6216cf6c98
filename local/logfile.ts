/**
 * One log file per process. A child writes into it directly, so that logging costs the supervisor
 * nothing and goes on when it dies; the supervisor only keeps the size bounded.
 */
import {
  closeSync,
  copyFileSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs'
import type { Clock, Log } from '#core/deps.ts'

const BYTES_MAX = 8 * 1024 * 1024
const TAIL_BYTES = 8 * 1024

export type LogFile = {
  path: string
  fd: number
  /** The last lines since this file was opened, for the message of a start that failed. */
  tail(lines: number): string[]
  /** Moves a full file to `<path>.1`. Lines written in this very moment may be lost. */
  rotate(bytesMax?: number): void
  close(): void
}

export function openLogFile(path: string): LogFile {
  // Read too: the tail. Append: after a truncation every writer goes on at the new end.
  const fd = openSync(path, 'a+', 0o600)
  let openedAt = fstatSync(fd).size
  const file: LogFile = {
    path,
    fd,
    tail: lines => tailOf(fd, openedAt).slice(-lines),
    rotate(bytesMax = BYTES_MAX) {
      if (fstatSync(fd).size <= bytesMax) return
      keepCopy(path)
      ftruncateSync(fd, 0)
      openedAt = 0
    },
    close() {
      closeSync(fd)
      // The number may soon be that of another file.
      file.fd = -1
    },
  }
  return file
}

/** On a full disk the old lines go: it is the place that must go on. */
function keepCopy(path: string): void {
  try {
    copyFileSync(path, `${path}.1`)
  } catch {
    rmSync(`${path}.1`, { force: true })
  }
}

/** A log that writes JSON lines. A full disk costs lines, never the process. */
export function logInto(file: LogFile, clock: Clock): Log {
  const write =
    (level: string) =>
    (event: string, fields: Record<string, unknown> = {}) => {
      const time = new Date(clock.now()).toISOString()
      try {
        writeSync(file.fd, `${JSON.stringify({ time, level, event, ...fields })}\n`)
      } catch {
        // Nothing better can be done with a line that finds no room.
      }
    }
  return { info: write('info'), error: write('error') }
}

function tailOf(fd: number, from: number): string[] {
  const { size } = fstatSync(fd)
  const start = Math.max(from, size - TAIL_BYTES)
  const bytes = Buffer.alloc(Math.max(0, size - start))
  readSync(fd, bytes, 0, bytes.length, start)
  return bytes.toString().split('\n').filter(Boolean)
}
