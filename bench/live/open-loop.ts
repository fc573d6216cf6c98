/**
 * An open-loop load generator in a process of its own: requests are due at a stated rate whatever the
 * answers do, and a latency counts from the moment at which its request was due, so that a stall is
 * paid by all who would have asked in it. Prints one JSON line.
 *
 * `--work` names a module whose `work(args)` gives `request(i)`: the path and the body of the i-th.
 */
import { connect } from 'node:net'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

export type Asked = {
  path: string
  body: string
  type?: string
  headers?: Record<string, string>
}
export type Work = {
  request(i: number): Asked
  /** What the generator shall add to its report, from the answers that it was shown. */
  answered?(i: number, status: number, body: string, latencyMs: number): void
  report?(): Record<string, unknown>
}

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    key: { type: 'string' },
    work: { type: 'string' },
    args: { type: 'string', default: '{}' },
    rate: { type: 'string' },
    seconds: { type: 'string' },
    connections: { type: 'string', default: '64' },
  },
})
const rate = Number(values.rate)
const total = Math.round(rate * Number(values.seconds))
const { work } = (await import(pathToFileURL(values.work!).href)) as {
  work(args: unknown): Promise<Work> | Work
}
const { request, answered, report } = await work(JSON.parse(values.args))

/** A connection that ends so is replaced, whether it had opened or not; any other error is the generator's own. */
const LOST = ['ECONNRESET', 'EPIPE', 'ETIMEDOUT']
const latencies: number[] = []
const statuses = new Map<number, number>()
const idle: Connection[] = []
let due = 0
let sent = 0
let done = 0
let broken = 0
/** `opened`: it is, or another in its place. */
type Connection = { send(i: number): void; opened: Promise<void> }

for (let n = 0; n < Number(values.connections); n++) idle.push(open())
// What it takes to accept them is not what is measured.
await Promise.all(idle.map(({ opened }) => opened))
const began = performance.now()
const timer = setInterval(pump, 1)

/** Sends what is due now, as far as there are connections; the rest waits, and its latency grows. */
function pump(): void {
  due = Math.min(total, Math.floor(((performance.now() - began) * rate) / 1_000) + 1)
  while (sent < due && idle.length > 0) idle.pop()!.send(sent++)
}

function open(): Connection {
  const socket = connect(Number(values.port), '127.0.0.1')
  socket.setNoDelay(true)
  socket.setEncoding('latin1')
  let current = -1
  let buffered = ''
  const opened = Promise.withResolvers<void>()
  const connection = {
    opened: opened.promise,
    send(i: number) {
      current = i
      const { path, body, type = 'application/json', headers = {} } = request(i)
      const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.write(
        `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${values.key}\r\n` +
          `content-type: ${type}\r\n${more.join('')}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      )
    },
  }
  socket.on('data', (chunk: string) => {
    buffered = buffered === '' ? chunk : buffered + chunk
    const end = buffered.indexOf('\r\n\r\n')
    if (end < 0) return
    const head = buffered.slice(0, end)
    const length = /content-length: (\d+)/i.exec(head)
    const isWhole = length
      ? buffered.length >= end + 4 + Number(length[1])
      : buffered.endsWith('0\r\n\r\n')
    if (!isWhole) return
    const status = Number(head.slice(9, 12))
    const body = buffered.slice(end + 4)
    buffered = ''
    const latencyMs = performance.now() - began - (current * 1_000) / rate
    latencies.push(latencyMs)
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
    answered?.(current, status, body, latencyMs)
    current = -1
    idle.push(connection)
    finish(1)
    pump()
  })
  socket.once('connect', opened.resolve)
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (!LOST.includes(error.code ?? '')) throw error
  })
  // The server ends what was idle for long: another takes its place. A request that it took along is lost.
  socket.on('close', () => {
    const at = idle.indexOf(connection)
    if (at >= 0) idle.splice(at, 1)
    if (done === total) return
    const next = open()
    idle.push(next)
    opened.resolve(next.opened)
    if (current < 0) return
    broken++
    finish(1)
  })
  return connection
}

function finish(count: number): void {
  done += count
  if (done < total) return
  clearInterval(timer)
  const seconds = (performance.now() - began) / 1_000
  latencies.sort((a, b) => a - b)
  const at = (share: number) =>
    Math.round(
      (latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0) * 1e3,
    ) / 1e3
  const line = {
    requests: total,
    rate,
    achieved_per_s: Math.round((done / seconds) * 10) / 10,
    statuses: Object.fromEntries(statuses),
    broken,
    p50_ms: at(0.5),
    p90_ms: at(0.9),
    p99_ms: at(0.99),
    max_ms: at(1),
    ...report?.(),
  }
  process.stdout.write(`${JSON.stringify(line)}\n`, () => process.exit(0))
}
