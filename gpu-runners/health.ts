/** What a platform asks of a container: whether it lives, and whether it takes work. Unsigned, and it says no more. */
import { createServer, type Server } from 'node:http'

export type Health = { status: number; body: { ready: boolean } }

/** The answer to a `GET` of `/health/live` or `/health/ready`; null: the path is another's. */
export function healthAt(path: string, isReady: () => boolean): Health | null {
  if (path === '/health/live') return { status: 200, body: { ready: isReady() } }
  if (path !== '/health/ready') return null
  const ready = isReady()
  return { status: ready ? 200 : 503, body: { ready } }
}

/** Answers these two and nothing else, on every address of the container. */
export function serveHealth(port: number, isReady: () => boolean): Promise<Server> {
  const server = createServer((request, response) => {
    const health = request.method === 'GET' ? healthAt(request.url ?? '', isReady) : null
    response.writeHead(health?.status ?? 404, { 'content-type': 'application/json' })
    response.end(JSON.stringify(health?.body ?? {}))
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, () => resolve(server))
  })
}
