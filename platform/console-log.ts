/** The log of a Worker: the console is the way into it. */
import type { Log } from '#core/deps.ts'
import { redacted } from './redact.ts'

export function consoleLog(place: string): Log {
  const line = (level: string, event: string, fields: Record<string, unknown> = {}) =>
    // biome-ignore lint/suspicious/noConsole: there is no other
    console.log(redacted(JSON.stringify({ level, place, event, ...fields })))
  return {
    info: (event, fields) => line('info', event, fields),
    error: (event, fields) => line('error', event, fields),
  }
}
