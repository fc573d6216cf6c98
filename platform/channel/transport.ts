/**
 * What a channel runs over, by configuration alone: a socket file of this machine, or TCP between machines.
 * Over TCP it is TLS with a key that both sides hold (RFC 4279, RFC 7905): neither speaks before the other has
 * proven that it has it, nobody between them reads, changes or repeats a byte, and what was recorded
 * stays closed if the key is lost later (ECDHE). `docs/decisions/0018-channel-over-tcp.md` has the reasons.
 */
import { hkdfSync } from 'node:crypto'
import { rmSync } from 'node:fs'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import * as tls from 'node:tls'
import type { Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'

/** Where a channel ends. A `path` is a socket file. */
export type Address = { path: string } | { host: string; port: number }

const TLS = {
  // The one suite of TLS 1.2 with a shared key that is forward secret and authenticates what it encrypts;
  // Node has no shared keys of TLS 1.3.
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
} as const
const IDENTITY = 'galley-runner'
/** Of one that connects, and of one that is dialled: a machine that is gone answers nothing at all. */
const HANDSHAKE_MS_MAX = 5_000
const BACKLOG = 1_024

/** `run/router.sock` or `router.internal:7070`. Throws a sentence on anything else. */
export function addressOf(text: string): Address {
  if (text.includes('/')) return { path: text }
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(text) ?? []
  if (host && Number(port) >= 1 && Number(port) <= 65_535) {
    return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) }
  }
  throw new AppError('invalid_request', {
    public: `"${text}" is no address of a router: give the path of a socket with a "/" in it, or host:port.`,
  })
}

/** Takes connections and hands over each that may speak. `key`: what both sides hold. */
export async function listenForChannels(
  deps: { log: Log },
  address: Address,
  key: string,
  attach: (stream: Duplex) => void,
): Promise<Server> {
  const server = 'path' in address ? createServer(attach) : securedServer(deps, key, attach)
  if ('path' in address) rmSync(address.path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ ...address, backlog: BACKLOG }, resolve)
  })
  // One that could not be accepted dials again; those that are open go on.
  server.on('error', error => deps.log.error('channel.not_accepted', { error: String(error) }))
  return server
}

function securedServer({ log }: { log: Log }, key: string, attach: (stream: Duplex) => void) {
  const psk = sharedKey(key)
  const server = tls.createServer(
    {
      ...TLS,
      handshakeTimeout: HANDSHAKE_MS_MAX,
      // A tick's frames leave together already.
      noDelay: true,
      pskCallback: (_, identity) => (identity === IDENTITY ? psk : null),
    },
    socket => {
      // One that was reset between its handshake and here; whoever takes it over adds its own.
      socket.on('error', () => {})
      attach(socket)
    },
  )
  server.on('tlsClientError', (error, { remoteAddress }) => {
    log.error('channel.refused', { from: remoteAddress, error: String(error) })
  })
  return server
}

/** Connects; over TCP the other side has shown by then that it holds the key. */
export function dialChannel(address: Address, key: string, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const isFile = 'path' in address
    const socket = isFile ? createConnection(address) : secured(address, key)
    const refuse = (error: Error) => {
      socket.destroy()
      reject(error)
    }
    const late = setTimeout(
      () => refuse(new Error(`no answer within ${HANDSHAKE_MS_MAX} ms`)),
      HANDSHAKE_MS_MAX,
    )
    const onAbort = () => refuse(new Error('given up'))
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once(isFile ? 'connect' : 'secureConnect', () => resolve(socket))
    socket.once('error', refuse)
    // An end without an error, before anything was agreed on.
    socket.once('close', () => reject(new Error('hung up')))
    const settle = () => {
      clearTimeout(late)
      signal.removeEventListener('abort', onAbort)
    }
    socket.once(isFile ? 'connect' : 'secureConnect', settle).once('close', settle)
    if (signal.aborted) onAbort()
  })
}

function secured(to: { host: string; port: number }, key: string): Socket {
  const psk = sharedKey(key)
  const socket = tls.connect({
    ...to,
    ...TLS,
    // There is no certificate: the key is what says who it is.
    checkServerIdentity: () => undefined,
    pskCallback: () => ({ psk, identity: IDENTITY }),
  })
  socket.setNoDelay(true)
  return socket
}

/** Not the signing key itself: what is made with one says nothing of the other. */
function sharedKey(key: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', 'galley channel', 32))
}
