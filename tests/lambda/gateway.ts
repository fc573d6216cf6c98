/**
 * API Gateway's HTTP API in front of a function, as its documentation and captures of it have it: payload
 * format 2.0, the path decoded, bodies that are no text in base64, its bound of what stands before a body, and
 * its refusal of what Lambda cannot take.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Host } from './host.ts'

/** Of request line and headers, which no deployment can have raised. */
const HEAD_BYTES_MAX = 10_240
const TEXT = /^(text\/|application\/(json|javascript|xml))/

export type Gateway = {
  url: string
  /** One more environment of the function behind it. */
  add(host: Host): void
  close(): Promise<void>
}
type Reply = {
  statusCode: number
  headers?: Record<string, string>
  body?: string
  isBase64Encoded?: boolean
}

export async function serveGateway(): Promise<Gateway> {
  const free: Host[] = []
  const waiting: ((host: Host) => void)[] = []
  const take = () =>
    new Promise<Host>(resolve => {
      const host = free.pop()
      if (host) resolve(host)
      else waiting.push(resolve)
    })
  const giveBack = (host: Host) => {
    const next = waiting.shift()
    if (next) next(host)
    else free.push(host)
  }

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { url = '/', method, headers, rawHeaders } = request
    const head = `${method} ${url} HTTP/1.1${rawHeaders.join('')}`
    if (Buffer.byteLength(head) > HEAD_BYTES_MAX) {
      response.writeHead(431, { 'content-type': 'application/json' })
      return response.end(JSON.stringify({ message: 'Request Header Fields Too Large' }))
    }
    const event = eventOf({ url, method: method!, headers, body: Buffer.concat(chunks) })
    const host = await take()
    try {
      const outcome = await host.invoke(event)
      if ('fault' in outcome) {
        const isTooLarge = outcome.fault.errorType === 'RequestTooLarge'
        const [status, message] = isTooLarge
          ? [413, 'Request Too Long']
          : [500, 'Internal Server Error']
        response.writeHead(status as number, { 'content-type': 'application/json' })
        return response.end(JSON.stringify({ message }))
      }
      const reply = outcome.value as Reply
      response.writeHead(reply.statusCode, reply.headers)
      response.end(Buffer.from(reply.body ?? '', reply.isBase64Encoded ? 'base64' : 'utf8'))
    } finally {
      giveBack(host)
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    add: giveBack,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** The event of a request. */
export function eventOf(request: {
  url: string
  method: string
  headers: Record<string, string | string[] | undefined>
  body: Buffer
}) {
  const [path, query = ''] = request.url.split('?') as [string, string?]
  // Cut at a "?" that was encoded, as the gateway does.
  const rawPath = decodeURIComponent(path).split('?')[0]!
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
  )
  const isText = TEXT.test(headers['content-type'] ?? '') && !headers['content-encoding']
  const { method, body } = request
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath,
    rawQueryString: query,
    headers,
    requestContext: { stage: '$default', http: { method, path: rawPath, protocol: 'HTTP/1.1' } },
    ...(body.length > 0 && { body: body.toString(isText ? 'utf8' : 'base64') }),
    isBase64Encoded: body.length > 0 && !isText,
  }
}
