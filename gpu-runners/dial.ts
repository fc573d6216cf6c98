/** Keeps one channel to the router: dialled again, with backoff, whenever it breaks. */
import { createConnection, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, Log } from '#core/deps.ts'
import { type Signer, sha256Hex } from '#core/internal/signing.ts'
import { type Channel, FRAME, jsonPart, openChannel } from './channel.ts'
import { HELLO_PATH } from './router.ts'

const RETRY_FIRST_MS = 20
const RETRY_MAX_MS = 200

export type Dialled = {
  /** The digests that are warm, told to the router now and at every reconnect. */
  announce(digests: string[]): void
  shipped(count: number): void
  /** Asks for no more work. */
  drain(): void
  inFlight(): number
  close(): void
}

export function dialRouter(
  deps: { clock: Clock; log: Log; signer: Signer },
  o: {
    socketPath: string
    runner: string
    /** Receipts written before a channel opened are none of its own. */
    receiptsSoFar(): number
    serve(channel: Channel): {
      onFrame: Parameters<typeof openChannel>[1]['frame']
      inFlight(): number
    }
  },
): Dialled {
  let current: { channel: Channel; inFlight(): number; receiptsBefore: number } | null = null
  let warm: string[] = []
  let closed = false

  async function keepDialling(): Promise<void> {
    for (let pauseMs = RETRY_FIRST_MS; !closed; pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS)) {
      try {
        await oneConnection(await connect(o.socketPath))
        pauseMs = RETRY_FIRST_MS
      } catch (error) {
        deps.log.info('runner.router_unreachable', { error: String(error) })
      }
      await sleep(pauseMs)
    }
  }

  async function oneConnection(socket: Socket): Promise<void> {
    const ended = Promise.withResolvers<void>()
    const channel: Channel = openChannel(socket, {
      frame: (type, id, payload) => served.onFrame(type, id, payload),
      end: () => ended.resolve(),
    })
    const served = o.serve(channel)
    const body = await sha256Hex(o.runner)
    const claims = { call: null, method: 'POST', path: HELLO_PATH, body }
    const token = await deps.signer.sign(claims, deps.clock.now())
    channel.send(FRAME.hello, 0, [jsonPart({ token, runner: o.runner })])
    channel.send(FRAME.warm, 0, [jsonPart(warm)])
    current = { channel, inFlight: served.inFlight, receiptsBefore: o.receiptsSoFar() }
    await ended.promise
    current = null
  }

  void keepDialling()
  return {
    announce(digests) {
      warm = digests
      current?.channel.send(FRAME.warm, 0, [jsonPart(warm)])
    },
    shipped(count) {
      if (!current) return
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleLE(Math.max(0, count - current.receiptsBefore))
      current.channel.send(FRAME.shipped, 0, [bytes])
    },
    drain: () => current?.channel.send(FRAME.drain, 0, []),
    inFlight: () => current?.inFlight() ?? 0,
    close() {
      closed = true
      current?.channel.close()
    },
  }
}

function connect(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path })
    socket.once('connect', () => resolve(socket))
    socket.once('error', reject)
  })
}
