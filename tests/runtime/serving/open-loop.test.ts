/** The load generator of the benchmarks: what it asks for is answered or counted, whatever happens to a connection. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'

const GENERATOR = new URL('../../../bench/live/open-loop.ts', import.meta.url)
const WORK = new URL('./open-loop-work.ts', import.meta.url)
const CONNECTIONS = 200

test('connections that are reset before they have opened are replaced, and all that was due is asked', async () => {
  let accepted = 0
  const server = createServer((_request, response) => response.end('ok'))
  server.on('connection', socket => {
    if (accepted++ < CONNECTIONS) socket.resetAndDestroy()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const flags = { port, key: 'none', work: WORK.pathname, rate: 500, seconds: 0.2 }
  const args = Object.entries({ ...flags, connections: CONNECTIONS })
  const child = spawn(
    process.execPath,
    [GENERATOR.pathname, ...args.flatMap(([name, value]) => [`--${name}`, String(value)])],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  try {
    let printed = ''
    child.stdout.on('data', chunk => {
      printed += chunk
    })
    expect(await once(child, 'close')).toEqual([0, null])
    const { requests, statuses, broken } = JSON.parse(printed)
    expect(requests).toBe(100)
    expect((statuses['200'] ?? 0) + broken).toBe(requests)
    expect(accepted).toBeGreaterThan(CONNECTIONS)
  } finally {
    child.kill('SIGKILL')
    server.closeAllConnections()
    server.close()
  }
})
