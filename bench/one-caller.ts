/**
 * One caller over one connection whose requests are due at a stated rate, whatever the answers do. A timer
 * comes up to a millisecond late, which is more than what is measured: the last moment is spent looking at
 * the clock, in turns of the event loop. Prints one JSON line.
 */
import { connect } from 'node:net'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { answers, requestBytes } from './http-answers.ts'

/** A timer is trusted up to so long before the time. */
const LOOK_MS = 1.5

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    path: { type: 'string' },
    key: { type: 'string', default: '' },
    body: { type: 'string' },
    rate: { type: 'string', default: '100' },
    ms: { type: 'string', default: '5000' },
  },
})
const request = requestBytes({ path: values.path!, key: values.key, body: values.body! })
const everyMs = 1_000 / Number(values.rate)
const total = Math.round(Number(values.ms) / everyMs)
const latencies: number[] = []
let failed = 0
let answered = Promise.withResolvers<void>()

const socket = connect(Number(values.port), '127.0.0.1')
socket.setNoDelay(true)
await new Promise(resolve => socket.once('connect', resolve))
answers(socket, ok => {
  if (!ok) failed++
  answered.resolve()
})
socket.on('close', () => answered.reject(new Error('the server closed the connection')))

const began = performance.now()
for (let i = 0; i < total; i++) {
  const dueMs = began + i * everyMs
  const earlyMs = dueMs - performance.now()
  if (earlyMs > LOOK_MS) await sleep(earlyMs - LOOK_MS)
  while (performance.now() < dueMs) await turn()
  answered = Promise.withResolvers<void>()
  socket.write(request)
  await answered.promise
  latencies.push(performance.now() - dueMs)
}
latencies.sort((a, b) => a - b)
const at = (share: number) =>
  Math.round((latencies[Math.floor(latencies.length * share)] ?? 0) * 1e3) / 1e3
const line = { requests: latencies.length, failed, p50_ms: at(0.5), p99_ms: at(0.99) }
process.stdout.write(`${JSON.stringify(line)}\n`, () => process.exit(0))
