/**
 * A load generator in a process of its own: closed loop, one request in flight per connection, over raw
 * sockets so that it costs little beside what it measures. Prints one JSON line.
 */
import { connect } from 'node:net'
import { parseArgs } from 'node:util'
import { answers, requestBytes } from './http-answers.ts'

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    path: { type: 'string' },
    key: { type: 'string', default: '' },
    body: { type: 'string' },
    connections: { type: 'string', default: '64' },
    ms: { type: 'string', default: '5000' },
  },
})
const request = requestBytes({ path: values.path!, key: values.key, body: values.body! })
const until = performance.now() + Number(values.ms)
const latencies: number[] = []
let failed = 0
let open = Number(values.connections)

for (let i = 0; i < Number(values.connections); i++) {
  const socket = connect(Number(values.port), '127.0.0.1')
  socket.setNoDelay(true)
  let sentAt = 0
  const send = () => {
    if (performance.now() > until) return socket.end()
    sentAt = performance.now()
    socket.write(request)
  }
  socket.on('connect', send)
  answers(socket, ok => {
    if (!ok) failed++
    latencies.push(performance.now() - sentAt)
    send()
  })
  socket.on('error', () => failed++)
  socket.on('close', () => {
    if (--open === 0) report()
  })
}

function report(): void {
  latencies.sort((a, b) => a - b)
  const at = (share: number) =>
    Math.round((latencies[Math.floor(latencies.length * share)] ?? 0) * 1e3) / 1e3
  process.stdout.write(
    `${JSON.stringify({ requests: latencies.length, failed, p50_ms: at(0.5), p99_ms: at(0.99) })}\n`,
  )
}
