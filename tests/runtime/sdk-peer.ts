/** A real HTTP server that answers as a test says, misbehaviour included. */
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

export type Asked = {
  method: string
  path: string
  headers: IncomingHttpHeaders
  body: Buffer
}
export type Answer =
  /** The connection breaks without an answer. */
  | 'drop'
  /** No answer, and the connection stays. */
  | 'silence'
  | {
      status?: number
      headers?: Record<string, string>
      json?: unknown
      body?: Uint8Array | string
      /** The connection breaks after so many bytes of the body. */
      cutAfter?: number
    }

export type Peer = { url: string; asked: Asked[]; close(): Promise<void> }

export async function startPeer(
  answer: (asked: Asked, peer: Peer) => Answer | Promise<Answer>,
): Promise<Peer> {
  const server = createServer(async (request, response) => {
    const { method = '', url: path = '', headers } = request
    const asked = { method, path, headers, body: await buffer(request) }
    peer.asked.push(asked)
    const said = await answer(asked, peer)
    if (said === 'silence') return
    if (said === 'drop') return void request.socket.destroy()
    const { status = 200, json, cutAfter } = said
    const body = Buffer.from(said.body ?? JSON.stringify(json ?? null))
    response.writeHead(status, {
      'content-type': 'application/json',
      'content-length': body.length,
      ...said.headers,
    })
    if (cutAfter === undefined) return void response.end(body)
    response.write(body.subarray(0, cutAfter), () => request.socket.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const peer: Peer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    close: () => {
      server.closeAllConnections()
      return new Promise(resolve => server.close(() => resolve()))
    },
  }
  return peer
}

export const problem = (
  status: number,
  code: string,
  detail: string,
  headers: Record<string, string> = {},
): Answer => ({
  status,
  headers: { 'content-type': 'application/problem+json', ...headers },
  json: { type: `/docs/errors#${code}`, title: '', status, detail, code, request_id: 'req_1' },
})
