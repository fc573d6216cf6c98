/**
 * A receiver of OTLP over HTTP, as a collector is one: keeps what it gets, and answers as it is told to. From
 * another process `GET /spans` reads and `PUT /answer` tells.
 */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Received = {
  service: string
  instance: string
  traceId: string
  spanId: string
  parentSpanId?: string
  traceState?: string
  name: string
  kind: number
  startTimeUnixNano: string
  endTimeUnixNano: string
  status?: { code: number; message: string }
  links?: { traceId: string; spanId: string; traceState?: string }[]
  /** What it says of its process besides. */
  resource: Record<string, string | number | boolean>
  attributes: Record<string, string | number | boolean>
}
export type Exported = { headers: IncomingHttpHeaders; path: string; spans: Received[] }
/** Of an answer; one that is `null` never comes. */
export type Answer = { status: number; headers?: Record<string, string>; body?: string } | null

type Value = { stringValue?: string; intValue?: string; doubleValue?: number; boolValue?: boolean }
type Pair = { key: string; value: Value }
type Request = {
  resourceSpans: {
    resource: { attributes: Pair[] }
    scopeSpans: { spans: (Omit<Received, 'attributes' | 'resource'> & { attributes: Pair[] })[] }[]
  }[]
}

export async function startReceiver() {
  const exported: Exported[] = []
  const hanging = new Set<ServerResponse>()
  let next: () => Answer = () => ({ status: 200 })
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { headers, url = '' } = request
    const text = Buffer.concat(chunks).toString()
    if (url === '/spans') {
      response.end(JSON.stringify(exported.flatMap(({ spans }) => spans)))
      return
    }
    if (url === '/answer') {
      const told = JSON.parse(text) as Answer
      next = () => told
      response.end()
      return
    }
    const body = JSON.parse(text) as Request
    exported.push({ headers, path: url, spans: spansOf(body) })
    const answer = next()
    if (answer) response.writeHead(answer.status, answer.headers).end(answer.body ?? '{}')
    else hanging.add(response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    exported,
    spans: () => exported.flatMap(({ spans }) => spans),
    /** From now on. */
    answer(how: () => Answer) {
      next = how
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function spansOf({ resourceSpans }: Request): Received[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const of = plain(resource.attributes)
    const { 'service.name': service, 'service.instance.id': instance } = of
    return scopeSpans.flatMap(({ spans }) =>
      spans.map(span => ({
        ...span,
        service: String(service),
        instance: String(instance),
        resource: of,
        attributes: plain(span.attributes),
      })),
    )
  })
}

function plain(pairs: Pair[]): Received['attributes'] {
  return Object.fromEntries(
    pairs.map(({ key, value: { stringValue, intValue, doubleValue, boolValue } }) => [
      key,
      stringValue ?? boolValue ?? doubleValue ?? Number(intValue),
    ]),
  )
}
