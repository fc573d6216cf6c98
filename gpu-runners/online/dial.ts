/** Keeps one channel to the router: dialled again, with backoff, whenever it breaks. */
import { createConnection, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, Log } from '#core/deps.ts'
import type { Signer } from '#core/internal/signing.ts'
import { type Channel, jsonPart, openChannel } from '#platform/channel/channel.ts'
import { helloOf } from '#platform/channel/hello.ts'
import { FRAME } from './frames.ts'

const RETRY_FIRST_MS = 20
const RETRY_MAX_MS = 200

export type Dialled = {
  /** The digests that are warm, told to the router now and at every reconnect. */
  announce(digests: string[]): void
  shipped(count: number): void
  /** Asks for no more work, now and at every reconnect. */
  drain(): void
  inFlight(): number
  close(): void
}

export type Served = {
  onFrame(type: number, id: number, payload: Buffer): void
  /** The channel is gone: nobody takes the answers any more. */
  end(): void
  inFlight(): number
}

export function dialRouter(
  deps: { clock: Clock; log: Log; signer: Signer },
  o: {
    socketPath: string
    runner: string
    /** Its class. */
    hardware: string
    /** Receipts written before a channel opened are none of its own. */
    receiptsSoFar(): number
    serve(channel: Channel): Served
  },
): Dialled {
  let current: { channel: Channel; served: Served; receiptsBefore: number } | null = null
  let warm: string[] = []
  let draining = false
  let closed = false

  async function keepDialling(): Promise<void> {
    let isTold = false
    for (let pauseMs = RETRY_FIRST_MS; !closed; pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS)) {
      try {
        const hello = await helloOf(deps.signer, deps.clock, o.runner, o.hardware)
        await oneConnection(await connect(o.socketPath), hello)
        pauseMs = RETRY_FIRST_MS
        isTold = false
      } catch (error) {
        // Once, not five times a second for as long as it is away.
        if (!isTold) deps.log.info('runner.router_unreachable', { error: String(error) })
        isTold = true
      }
      await sleep(pauseMs)
    }
  }

  async function oneConnection(socket: Socket, hello: Buffer): Promise<void> {
    const ended = Promise.withResolvers<void>()
    const channel: Channel = openChannel(socket, {
      frame: (type, id, payload) => served.onFrame(type, id, payload),
      end(error) {
        if (error) deps.log.error('runner.channel_broken', { error: String(error) })
        ended.resolve()
      },
    })
    const served = o.serve(channel)
    channel.send(FRAME.hello, 0, [hello])
    channel.send(FRAME.warm, 0, [jsonPart(warm)])
    if (draining) channel.send(FRAME.drain, 0, [])
    current = { channel, served, receiptsBefore: o.receiptsSoFar() }
    if (closed) channel.close()
    await ended.promise
    current = null
    served.end()
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
    drain() {
      draining = true
      current?.channel.send(FRAME.drain, 0, [])
    },
    inFlight: () => current?.served.inFlight() ?? 0,
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
