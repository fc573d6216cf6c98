/** Requests as bytes on a socket, for what no HTTP client would send. */
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Problem } from './actions.ts'
import { product } from './product.ts'

export async function open(
  start: string,
  headers: Record<string, string>,
  body: string | Uint8Array,
): Promise<Socket> {
  const { url, key } = await product()
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  const all = {
    host: hostname,
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
    ...headers,
  }
  const head = [start, ...Object.entries(all).map(([name, value]) => `${name}: ${value}`)]
  socket.write(`${head.join('\r\n')}\r\n\r\n`)
  socket.write(body)
  return socket
}

export function read(socket: Duplex): Promise<string> {
  return new Promise(resolve => {
    let said = ''
    socket.on('data', chunk => {
      said += chunk
    })
    socket.on('error', () => resolve(said))
    socket.on('close', () => resolve(said))
  })
}

/** One request of which only so much is sent; the answer that comes before the rest. */
export async function raw(
  method: string,
  path: string,
  headers: Record<string, string>,
  body: string,
) {
  const socket = await open(`${method} ${path} HTTP/1.1`, { ...headers, connection: 'close' }, body)
  const answered = new Promise<string>(resolve => {
    let said = ''
    socket.on('data', chunk => {
      said += chunk
      if (said.includes('"request_id"')) resolve(said)
    })
    socket.on('close', () => resolve(said))
  })
  const said = await answered
  socket.destroy()
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(said)?.[1])
  return { status, body: JSON.parse(/\{.*\}/s.exec(said)![0]) as Problem }
}
