/** A fetch handler served by Node on one port. */
import { createServer, type RequestListener } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { BALANCER_IDLE_S } from '#schemas/cloud/balancer.ts'

const HEADERS_MS_MAX = 10_000
const REQUEST_MS_MAX = 300_000
const KEEP_ALIVE_MS = (BALANCER_IDLE_S + 10) * 1_000

export type Served = { close(): Promise<void> }

/** Serves a handler of Web requests. */
export function serveHttp(o: {
  host: string
  port: number
  fetch(request: Request): Response | Promise<Response>
}): Promise<Served> {
  const listener = getRequestListener(request => o.fetch(request), { overrideGlobalObjects: true })
  return listen({ ...o, listener })
}

/** Resolves when it listens. `close` takes no more connections and waits for the requests under way. */
export async function listen(o: {
  host: string
  port: number
  listener: RequestListener
}): Promise<Served> {
  const server = createServer(
    {
      headersTimeout: HEADERS_MS_MAX,
      requestTimeout: REQUEST_MS_MAX,
      keepAliveTimeout: KEEP_ALIVE_MS,
      noDelay: true,
    },
    o.listener,
  )
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(o.port, o.host, 1024, resolve)
  })
  return {
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeIdleConnections()
      }),
  }
}
