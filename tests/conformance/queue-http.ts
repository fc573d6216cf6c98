/** A queue behind real HTTP on loopback, as a runner reaches it; without the signing, which is not its own. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Queue } from '#core/deps.ts'
import { AppError, fromProblem, problem } from '#core/error.ts'
import { serveQueue } from '#platform/queue/serve.ts'

export async function queueOverHttp(queue: Queue) {
  const server = createServer((request, response) => void answer(queue, request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    async request(operation: string, input: unknown, signal?: AbortSignal): Promise<unknown> {
      const body = JSON.stringify(input)
      const response = await fetch(`${base}/${operation}`, { method: 'POST', body, signal })
      if (!response.ok) throw asFault(response.status, await response.json())
      return response.json()
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function answer(queue: Queue, request: IncomingMessage, response: ServerResponse) {
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  try {
    const input = JSON.parse(await text(request))
    const result = await serveQueue(queue, request.url!.slice(1), input, gone.signal)
    response.end(JSON.stringify(result))
  } catch (error) {
    const body = problem(error, 'request')
    response.writeHead(body.status).end(JSON.stringify(body))
  }
}

function asFault(status: number, body: unknown): AppError {
  const { code, public: text } = fromProblem(body)
  return new AppError(code, { public: text, retryable: status === 503 })
}
