/**
 * A server that speaks what a spot runner asks of its machine: EC2's instance metadata, version 2. As the
 * real one does, it answers nobody without a token that it gave and that still holds.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const TTL_HEADER = 'x-aws-ec2-metadata-token-ttl-seconds'
const TOKEN_HEADER = 'x-aws-ec2-metadata-token'
export const ACTION_PATH = '/latest/meta-data/spot/instance-action'
export const REBALANCE_PATH = '/latest/meta-data/events/recommendations/rebalance'

export type MetadataServer = {
  url: string
  /** What stands at a path; without an entry it answers 404. */
  there: Map<string, string>
  /** Reads that were answered with a token that holds, by path. */
  reads: string[]
  /** Tokens that it gave. */
  tokens(): number
  /** Forgets every token, as when it is restarted or their time is over. */
  forgetTokens(): void
  /** Instead of the ordinary answer to a read; null: the ordinary one. */
  onRead: ((response: ServerResponse) => void) | null
  /** Tells the next process that asks, and no other, that its machine goes then (Unix milliseconds). */
  noticeToOne(at: number): Promise<void>
  close(): void
}

export async function startMetadataServer(): Promise<MetadataServer> {
  let tokens = new Set<string>()
  let given = 0
  /** Notices that nobody has taken yet, and those that somebody has: a process asks with one token. */
  const open: { text: string; taken(): void }[] = []
  const noticed = new Map<string, string>()

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? ''
    if (path === '/latest/api/token') giveToken(request, response)
    else if (request.method !== 'GET') response.writeHead(405).end()
    else if (!tokens.has(String(request.headers[TOKEN_HEADER]))) response.writeHead(401).end()
    else {
      server.reads.push(path)
      if (server.onRead) server.onRead(response)
      else read(path, String(request.headers[TOKEN_HEADER]), response)
    }
  }

  function giveToken(request: IncomingMessage, response: ServerResponse): void {
    const ttl = Number(request.headers[TTL_HEADER])
    if (request.method !== 'PUT') response.writeHead(405).end()
    else if (!Number.isInteger(ttl) || ttl < 1 || ttl > 21_600) response.writeHead(400).end()
    else {
      const token = randomUUID()
      tokens.add(token)
      given++
      response.writeHead(200, { [TTL_HEADER]: String(ttl) }).end(token)
    }
  }

  function read(path: string, token: string, response: ServerResponse): void {
    if (path === ACTION_PATH && !noticed.has(token)) {
      const next = open.shift()
      if (next) noticed.set(token, next.text)
      next?.taken()
    }
    const text = (path === ACTION_PATH ? noticed.get(token) : undefined) ?? server.there.get(path)
    if (text === undefined) response.writeHead(404).end()
    else response.writeHead(200, { 'content-type': 'text/plain' }).end(text)
  }

  const http = createServer(answer).listen(0, '127.0.0.1')
  await once(http, 'listening')
  const server: MetadataServer = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    there: new Map(),
    reads: [],
    tokens: () => given,
    forgetTokens: () => {
      tokens = new Set()
    },
    onRead: null,
    noticeToOne: at =>
      new Promise(taken => void open.push({ text: noticeText(at), taken: () => taken() })),
    close() {
      http.close()
      http.closeAllConnections()
    },
  }
  return server
}

/** As EC2 writes it: whole seconds of UTC. */
export function noticeText(at: number): string {
  return JSON.stringify({
    action: 'terminate',
    time: new Date(at).toISOString().replace(/\.\d+/, ''),
  })
}
