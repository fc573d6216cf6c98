#!/usr/bin/env node
/** The `galley` command. */
import { environment } from './env.ts'
import { main } from './main.ts'
import { processTerminal } from './terminal.ts'

const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // The second one, if the first did not end it, does.
  process.once(signal, () => interrupted.abort())
}
// Whoever reads us, such as `head`, may have had enough.
process.stdout.on('error', () => process.exit(0))

const place = { environment, cwd: process.cwd(), signal: interrupted.signal }
process.exitCode = await main(process.argv.slice(2), processTerminal(), place)
