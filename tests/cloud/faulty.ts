/**
 * What stands between a client and a protocol server, and misbehaves when told to: the servers of this
 * machine never throttle, forbid or break off by themselves.
 */
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
  request as send,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'

export type Asked = {
  method: string
  url: string
  action: string
  headers: IncomingHttpHeaders
  body: Buffer
}
/** An answer in place of the server's; `drop` breaks the connection, `lose` does so after the server has done it. */
export type Fault =
  | 'drop'
  | 'lose'
  | { status: number; body?: string; headers?: Record<string, string> }
export type Faulty = {
  endpoint: string
  /** Of all requests so far, the spoilt ones included. */
  asked: Asked[]
  /** Asked for each request; null lets it pass. */
  spoil(fault: (asked: Asked) => Fault | null): void
  close(): Promise<void>
}

/** `keeps: false` where so much is asked that `asked` would grow without end. */
export async function startFaulty(upstream: string, o = { keeps: true }): Promise<Faulty> {
  const asked: Asked[] = []
  let faultFor: (asked: Asked) => Fault | null = () => null

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request)
    const { method, url, headers } = request
    const one = { method: method!, url: url!, action: actionOf(request), headers, body }
    if (o.keeps) asked.push(one)
    const fault = faultFor(one)
    if (fault === 'drop') return void request.socket.destroy()
    if (fault && fault !== 'lose') {
      response.writeHead(fault.status, fault.headers).end(fault.body)
      return
    }
    const passed = send(new URL(url!, upstream), { method, headers })
    passed.end(body)
    const [reply] = (await once(passed, 'response')) as [IncomingMessage]
    // A server that has answered may close before it has read the whole body; the answer is what counts.
    passed.on('error', () => {})
    if (fault === 'lose') {
      await buffer(reply)
      return void request.socket.destroy()
    }
    response.writeHead(reply.statusCode!, reply.headers)
    await pipeline(reply, response)
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => request.socket.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    spoil(fault) {
      faultFor = fault
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** A fault of the first `count` requests of an action. */
export function first(count: number, action: string, fault: Fault): (asked: Asked) => Fault | null {
  let left = count
  return asked => (asked.action === action && left-- > 0 ? fault : null)
}

/** Of SQS and ECS by their header, of S3 by the method. */
function actionOf(request: IncomingMessage): string {
  const target = request.headers['x-amz-target']
  return typeof target === 'string' ? target.split('.').at(-1)! : request.method!
}
