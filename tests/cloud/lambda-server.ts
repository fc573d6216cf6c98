/** A server of Lambda's Invoke API (2015-03-31), on loopback: functions are handlers of API Gateway's events. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** Throws as a function throws; what it gives is its answer. */
export type Handler = (event: unknown) => Promise<unknown>

/** Of a synchronous invocation. */
const PAYLOAD_BYTES_MAX = 6_291_456
const PATH = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/

export async function serveLambda(functions: Record<string, Handler>) {
  const server = createServer(async (request, response) => {
    const body = await text(request)
    const name = decodeURIComponent(PATH.exec(request.url!.split('?')[0]!)?.[1] ?? '')
    const refuse = (status: number, code: string) =>
      response
        .writeHead(status, { 'x-amzn-errortype': code, 'content-type': 'application/json' })
        .end(JSON.stringify({ Type: 'User', message: `${code}: ${name}` }))
    const handler = functions[name]
    if (!handler) return refuse(404, 'ResourceNotFoundException')
    if (body.length > PAYLOAD_BYTES_MAX) return refuse(413, 'RequestTooLargeException')
    try {
      response.end(JSON.stringify((await handler(JSON.parse(body))) ?? null))
    } catch (error) {
      const { name: errorType, message: errorMessage } = error as Error
      response.writeHead(200, { 'x-amz-function-error': 'Unhandled' })
      response.end(JSON.stringify({ errorType, errorMessage }))
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
