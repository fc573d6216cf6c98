/** Requests read from Node itself: a Web Request would cost more than the rest of the edge. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from 'hono'
import type { Http } from '#edge/deps.ts'
import { refuseTooLong } from '#edge/web-http.ts'

type NodeBindings = { incoming: IncomingMessage; outgoing: ServerResponse }

export const nodeHttp: Http = {
  header(c, name) {
    const value = incomingOf(c).headers[name]
    return Array.isArray(value) ? value[0] : value
  },
  body(c, bytesMax) {
    const incoming = incomingOf(c)
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = []
      let size = 0
      try {
        refuseTooLong(Number(incoming.headers['content-length'] ?? 0), bytesMax)
      } catch (error) {
        return reject(error)
      }
      incoming.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > bytesMax) {
          incoming.removeAllListeners('data')
          incoming.resume()
          chunks.length = 0
          try {
            refuseTooLong(size, bytesMax)
          } catch (error) {
            reject(error)
          }
          return
        }
        chunks.push(chunk)
      })
      incoming.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
      incoming.on('error', reject)
    })
  },
  stream: c => incomingOf(c),
  departed(c) {
    const { outgoing } = c.env as NodeBindings
    return {
      addEventListener(_, listener) {
        outgoing.once('close', () => {
          if (!outgoing.writableFinished) listener()
        })
      },
    }
  },
}

function incomingOf(c: Context): IncomingMessage {
  return (c.env as NodeBindings).incoming
}
