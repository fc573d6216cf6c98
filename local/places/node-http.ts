/**
 * The app on Node without Web objects in between: requests are read from Node's own, and the replies of
 * the hot path written to it. `docs/decisions/0007-edge-on-node.md` has what that saves.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Context } from 'hono'
import type { RawHttp } from '#edge/deps.ts'
import { refuseTooLong } from '#edge/web-http.ts'

type NodeBindings = { incoming: IncomingMessage; outgoing: ServerResponse }

const TOGETHER_BYTES_MAX = 65_536

/** Each stands for replies of its status that are written already: whoever counts them looks at it. */
const SENT = new Map<number, Response>()

export const nodeHttp: RawHttp = {
  header(c, name) {
    const value = bindingsOf(c).incoming.headers[name]
    return Array.isArray(value) ? value[0] : value
  },
  body: (c, bytesMax, held) => readBody(bindingsOf(c).incoming, bytesMax, held),
  stream: c => bindingsOf(c).incoming,
  departed: c => ({
    addEventListener: (_, listener) => onClose(bindingsOf(c).outgoing.socket, listener),
  }),
  reply(c, status, headers, body) {
    const { outgoing } = bindingsOf(c)
    const isText = typeof body === 'string'
    headers['content-length'] = String(isText ? Buffer.byteLength(body) : body.length)
    outgoing.writeHead(status, headers)
    if (isText || body.length > TOGETHER_BYTES_MAX) outgoing.end(body)
    else outgoing.end(latin1(body), 'latin1')
    return sentAs(status)
  },
}

function sentAs(status: number): Response {
  const known = SENT.get(status)
  if (known) return known
  const response = new Response(null, { status })
  SENT.set(status, response)
  return response
}

/** Node writes a text together with the head in one call, bytes in a second one; in Latin-1 each byte is a letter. */
function latin1(body: Uint8Array): string {
  return Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1')
}

/** Serves an app's `fetch` to Node's server. */
export function nodeListener(
  fetch: (request: Request, bindings: NodeBindings) => Response | Promise<Response>,
): RequestListener {
  return (incoming, outgoing) => {
    Promise.resolve(fetch(asRequest(incoming), { incoming, outgoing }))
      .then(response => (isSent(response) ? undefined : write(response, outgoing)))
      .catch(() => outgoing.destroy())
  }
}

function isSent(response: Response): boolean {
  return response === SENT.get(response.status)
}

/** What a router needs of a request; the rest is asked of `nodeHttp`. */
function asRequest(incoming: IncomingMessage): Request {
  const { method, url = '/' } = incoming
  return { method, url: url.startsWith('/') ? `http://edge${url}` : url } as Request
}

async function write(response: Response, outgoing: ServerResponse): Promise<void> {
  const headers = Object.fromEntries(response.headers)
  outgoing.writeHead(response.status, headers)
  if (response.body) await pipeline(Readable.fromWeb(response.body as never), outgoing)
  else outgoing.end()
}

function readBody(
  incoming: IncomingMessage,
  bytesMax: number,
  held?: (bytes: number) => void,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const declared = Number(incoming.headers['content-length'] ?? 0)
    const chunks: Buffer[] = []
    let isRefused = false
    const isTaken = (bytes: number, copies = 1) => {
      if (isRefused) return false
      try {
        refuseTooLong(bytes, bytesMax)
        held?.(copies * bytes)
        return true
      } catch (error) {
        // What still comes of it is let go.
        isRefused = true
        chunks.length = 0
        reject(error)
        return false
      }
    }
    if (!isTaken(declared)) return
    // Held once; a small one comes in one piece anyway.
    const whole = declared > TOGETHER_BYTES_MAX ? Buffer.allocUnsafeSlow(declared) : null
    let size = 0
    incoming.on('data', (chunk: Buffer) => {
      if (whole) chunk.copy(whole, size)
      size += chunk.length
      // What is put together stands beside its pieces for a moment.
      if (!whole && isTaken(size, declared > 0 ? 1 : 2)) chunks.push(chunk)
    })
    incoming.on('end', () => {
      if (!isRefused) resolve(whole ?? (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    })
    incoming.on('error', reject)
  })
}

/** One listener a connection, for the request that it carries now: listeners a request cost more. */
const listening = new WeakMap<Socket, () => void>()

function onClose(socket: Socket | null, listener: () => void): void {
  if (!socket) {
    listener()
    return
  }
  if (!listening.has(socket)) socket.once('close', () => listening.get(socket)!())
  listening.set(socket, listener)
}

function bindingsOf(c: Context): NodeBindings {
  return c.env as NodeBindings
}
