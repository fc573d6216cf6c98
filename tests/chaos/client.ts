/**
 * A caller as a careful one is: it keeps its connections, gives up on an answer after a while, and
 * tries again what may be tried again, with the same Idempotency-Key, until it knows how it ended.
 */
import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

export type Reply = { status: number; headers: IncomingHttpHeaders; body: Buffer }
export type Ask = {
  key: string
  method: string
  path: string
  body?: unknown
  headers?: Record<string, string>
  timeoutMs?: number
}
export type Client = {
  /** One try. Rejects when no answer came. */
  once(ask: Ask): Promise<Reply>
  /** Tries until there is a final answer and returns its body. Throws `Refused` for one that says no. */
  insist<T = Json>(ask: Ask): Promise<T>
  /** How long it waits for a final answer before it gives up. */
  readonly patienceMs: number
  close(): void
}
// biome-ignore lint/suspicious/noExplicitAny: the bodies of many routes; the checker looks at each field
export type Json = any

/** A final answer that nobody expected: the product must not say no to a request that is right. */
export class Refused extends Error {
  readonly status: number
  readonly code: string
  constructor(ask: Ask, status: number, body: string) {
    super(`${ask.method} ${ask.path}: ${status} ${body.slice(0, 300)}`)
    this.status = status
    this.code = codeOf(body)
  }
}

const CONNECTIONS_MAX = 64
const TIMEOUT_MS = 65_000
export const PATIENCE_MS = 120_000
const PAUSE_MS = [100, 200, 400, 400]

export function openClient(url: string, patienceMs = PATIENCE_MS): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS_MAX })
  const { hostname, port } = new URL(url)

  function once(ask: Ask): Promise<Reply> {
    const { method, path, body, timeoutMs = Math.min(TIMEOUT_MS, patienceMs) } = ask
    const bytes = body instanceof Uint8Array ? body : body === undefined ? undefined : textOf(body)
    const headers: Record<string, string> = {
      authorization: `Bearer ${ask.key}`,
      ...(bytes && { 'content-length': String(bytes.length) }),
      ...(bytes && !(body instanceof Uint8Array) && { 'content-type': 'application/json' }),
      ...ask.headers,
    }
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(timeoutMs)
      const sent = request({ agent, hostname, port, method, path, headers, signal }, response => {
        const chunks: Buffer[] = []
        response.on('data', chunk => chunks.push(chunk))
        response.on('error', reject)
        response.on('close', () => {
          if (!response.complete) return reject(new Error('the answer was cut off'))
          const { statusCode, headers } = response
          resolve({ status: statusCode!, headers, body: Buffer.concat(chunks) })
        })
      })
      sent.on('error', reject)
      sent.end(bytes)
    })
  }

  async function insist<T>(ask: Ask): Promise<T> {
    const until = performance.now() + patienceMs
    for (let tries = 0; ; tries++) {
      const reply = await once(ask).catch((error: Error) => error)
      if (!(reply instanceof Error)) {
        const text = reply.body.toString()
        if (reply.status < 300) return (text === '' ? null : JSON.parse(text)) as T
        if (!mayPass(reply.status, text)) throw new Refused(ask, reply.status, text)
      }
      if (performance.now() > until) {
        const last = reply instanceof Error ? reply.message : `${reply.status} ${reply.body}`
        throw new Error(`${ask.method} ${ask.path} got no answer for ${patienceMs} ms: ${last}`)
      }
      await sleep(PAUSE_MS[Math.min(tries, PAUSE_MS.length - 1)])
    }
  }

  return { once, insist, patienceMs, close: () => agent.destroy() }
}

function mayPass(status: number, text: string): boolean {
  return status >= 500 || status === 429 || codeOf(text) === 'idempotency_in_flight'
}

function codeOf(text: string): string {
  try {
    return JSON.parse(text).code ?? ''
  } catch {
    return ''
  }
}

function textOf(body: unknown): Buffer {
  return Buffer.from(JSON.stringify(body))
}
