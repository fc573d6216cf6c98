/** Where the command writes and asks: results on stdout, everything else on stderr. */
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { text as textOf } from 'node:stream/consumers'
import { styleText } from 'node:util'

export type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow'

export type Terminal = {
  out(chunk: string | Uint8Array): Promise<void>
  err(text: string): void
  /** For text that goes to stdout; plain where nobody looks, or where NO_COLOR is set. */
  style(style: Style, text: string): string
  isOutTty: boolean
  isErrTty: boolean
  isInTty: boolean
  errColumns: number
  /** Asks on stderr; `hidden` shows nothing of the answer. */
  ask(question: string, options?: { hidden?: boolean; signal?: AbortSignal }): Promise<string>
  /** All of stdin. */
  input(): Promise<string>
}

export function processTerminal(): Terminal {
  const { stdin, stdout, stderr } = process
  return {
    out: chunk => new Promise(resolve => stdout.write(chunk, () => resolve())),
    err: text => void stderr.write(text),
    style: (style, text) => styleText(style, text, { stream: stdout }),
    isOutTty: stdout.isTTY === true,
    isErrTty: stderr.isTTY === true,
    isInTty: stdin.isTTY === true,
    errColumns: stderr.columns ?? 80,
    ask,
    input: () => textOf(stdin),
  }
}

async function ask(
  question: string,
  { hidden = false, signal }: { hidden?: boolean; signal?: AbortSignal } = {},
): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const output = hidden ? nowhere : process.stderr
  if (hidden) process.stderr.write(question)
  const lines = createInterface({ input: process.stdin, output, terminal: true })
  // Ctrl-C comes as a key here, not as a signal.
  lines.once('SIGINT', () => process.kill(process.pid, 'SIGINT'))
  try {
    return (await lines.question(hidden ? '' : question, signal ? { signal } : {})).trim()
  } finally {
    lines.close()
    if (hidden) process.stderr.write('\n')
  }
}
