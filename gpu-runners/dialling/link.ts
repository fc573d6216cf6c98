/** One channel to one router: dialled again, with backoff, for as long as the router is wanted. */
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, Log } from '#core/deps.ts'
import type { Signer } from '#core/internal/signing.ts'
import { BEAT, FRAME } from '#gpu-runners/online/frames.ts'
import { type Channel, jsonPart, openChannel } from '#platform/channel/channel.ts'
import { helloOf, type Machine } from '#platform/channel/hello.ts'
import { type Address, dialChannel } from '#platform/channel/transport.ts'

const RETRY_FIRST_MS = 20
const RETRY_MAX_MS = 200

export type Served = {
  onFrame(type: number, id: number, payload: Buffer): void
  /** The channel is gone: nobody takes the answers any more. */
  end(): void
  inFlight(): number
  /** Receipts of this channel that the ledger has, from its start, when it has so many of the process. */
  shipped(total: number): number
}

export type LinkDeps = { clock: Clock; log: Log; signer: Signer }
export type LinkOptions = {
  address: Address
  /** What runners and routers both hold. */
  key: string
  runner: string
  machine: Machine
  serve(channel: Channel): Served
  /** Asked before each dialling: what is open goes on until the router ends it. */
  isWanted(): boolean
  /** Ends the dialling at once. */
  closing: AbortSignal
}

export type Link = {
  /** The digests that are warm, told to the router now and at every reconnect. */
  announce(digests: string[]): void
  /** Receipts of this process that are in the ledger. */
  shipped(total: number): void
  /** Asks for no more work, now and at every reconnect. */
  drain(): void
  inFlight(): number
  isUp(): boolean
  /** Resolves when nothing is open and nothing will be. */
  ended: Promise<void>
  close(): void
}

export function openLink(deps: LinkDeps, o: LinkOptions): Link {
  let current: { channel: Channel; served: Served } | null = null
  let warm: string[] = []
  let isDraining = false

  async function keepDialling(): Promise<void> {
    let isTold = false
    for (
      let pauseMs = RETRY_FIRST_MS;
      !o.closing.aborted && o.isWanted();
      pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS)
    ) {
      try {
        const stream = await dialChannel(o.address, o.key, o.closing)
        const hello = await helloOf(deps.signer, deps.clock, o.runner, o.machine)
        await oneConnection(stream, hello)
        pauseMs = RETRY_FIRST_MS
        isTold = false
      } catch (error) {
        // Once, not five times a second for as long as it is away.
        if (!isTold && !o.closing.aborted) {
          const { address } = o
          deps.log.info('runner.router_unreachable', { ...address, error: String(error) })
        }
        isTold = true
      }
      await sleep(pauseMs, undefined, { signal: o.closing }).catch(() => {})
    }
  }

  async function oneConnection(stream: Duplex, hello: Buffer): Promise<void> {
    const ended = Promise.withResolvers<void>()
    const on = {
      frame: (type: number, id: number, payload: Buffer) => served.onFrame(type, id, payload),
      end(error?: Error) {
        if (error) deps.log.error('runner.channel_broken', { error: String(error) })
        ended.resolve()
      },
    }
    const channel = openChannel(stream, on, BEAT)
    const served = o.serve(channel)
    channel.send(FRAME.hello, 0, [hello])
    channel.send(FRAME.warm, 0, [jsonPart(warm)])
    if (isDraining) channel.send(FRAME.drain, 0, [])
    current = { channel, served }
    if (o.closing.aborted) channel.close()
    await ended.promise
    current = null
    served.end()
  }

  return {
    announce(digests) {
      warm = digests
      current?.channel.send(FRAME.warm, 0, [jsonPart(warm)])
    },
    shipped(total) {
      if (!current) return
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleLE(current.served.shipped(total))
      current.channel.send(FRAME.shipped, 0, [bytes])
    },
    drain() {
      isDraining = true
      current?.channel.send(FRAME.drain, 0, [])
    },
    inFlight: () => current?.served.inFlight() ?? 0,
    isUp: () => current !== null,
    ended: keepDialling(),
    close: () => current?.channel.close(),
  }
}
