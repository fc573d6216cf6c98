/**
 * Logs as lines of JSON on standard output, which whoever started the process keeps. Lines are written
 * together a few times a second, errors at once. Secrets never leave: what looks like one is replaced.
 */
import { writeSync } from 'node:fs'
import type { Clock, Log } from '#core/deps.ts'
import { redacted, SECRETS } from './redact.ts'

const FLUSH_MS = 100
const BUFFER_CHARS_MAX = 65_536
const STDOUT_FD = 1

export function openLog(o: { place: string; clock: Clock; fd?: number }): Log & { flush(): void } {
  if (SECRETS.length === 0) throw new Error('The list of secrets to redact is empty')
  const fd = o.fd ?? STDOUT_FD
  let buffer = ''

  function flush(): void {
    const text = buffer
    buffer = ''
    try {
      if (text !== '') writeSync(fd, text)
    } catch {
      // A log that cannot be written (full disk, closed pipe) must not stop the work.
    }
  }

  function line(
    level: 'info' | 'error',
    event: string,
    fields: Record<string, unknown> = {},
  ): void {
    const at = new Date(o.clock.now()).toISOString()
    const { place } = o
    if (buffer === '') setTimeout(flush, FLUSH_MS).unref()
    buffer += `${redacted(JSON.stringify({ at, level, place, event, ...fields }))}\n`
    if (level === 'error' || buffer.length > BUFFER_CHARS_MAX) flush()
  }

  process.on('exit', flush)
  return {
    info: (event, fields) => line('info', event, fields),
    error: (event, fields) => line('error', event, fields),
    flush,
  }
}
