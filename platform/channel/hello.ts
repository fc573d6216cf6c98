/** A connection that somebody dialled: nobody until its first frame has proven who it is. */
import type { Duplex } from 'node:stream'
import type { Clock, Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { type Place, type Signer, sha256Hex, type Verifier } from '#core/internal/signing.ts'
import { type Beat, type Channel, fromJsonPart, HELLO, jsonPart, openChannel } from './channel.ts'

const HELLO_PATH = '/hello'
/** A peer that says nothing is dropped: it holds a connection and, perhaps, most of a frame. */
const HELLO_MS_MAX = 5_000

/** What runs models: its class, and whether it is there for what asks for that alone. */
export type Machine = { hardware: string; isDedicated?: boolean }
/** That it is dedicated is not signed: it can only be asked for less. Nor does an older router know of it. */
type Hello = { token: string; name: string } & Partial<Machine>
type Frame = [type: number, id: number, payload: Buffer]
export type Welcomed = { frame(...frame: Frame): void; end(): void }

/** The payload of a hello frame. */
export async function helloOf(
  signer: Signer,
  clock: Clock,
  name: string,
  machine?: Machine,
): Promise<Buffer> {
  const body = await sha256Hex(signedText({ name, ...machine }))
  const claims = { call: null, method: 'POST', path: HELLO_PATH, body }
  const token = await signer.sign(claims, clock.now())
  return jsonPart({ token, name, ...machine } satisfies Hello)
}

/** Calls `welcome` once the peer has shown that it is one of these places, and ends the stream of any other. */
export function awaitHello(
  stream: Duplex,
  deps: { clock: Clock; log: Log; verifier: Verifier; from: readonly Place[]; beat?: Beat },
  welcome: (name: string, channel: Channel, machine: Partial<Machine>) => Welcomed,
): void {
  let welcomed: Welcomed | null = null
  /** What came behind the hello while it was checked. */
  let early: Frame[] | null = null
  let hasEnded = false
  const late = setTimeout(() => refuse(new Error('no hello came')), HELLO_MS_MAX).unref()
  const on = {
    frame(...frame: Frame) {
      if (welcomed) welcomed.frame(...frame)
      else if (early) early.push(frame)
      else if (frame[0] !== HELLO) refuse(new Error('the first frame is no hello'))
      else {
        early = []
        check(frame[2]).catch(refuse)
      }
    },
    end(error?: Error) {
      hasEnded = true
      clearTimeout(late)
      if (error) deps.log.error('channel.broken', { error: String(error) })
      welcomed?.end()
    },
  }
  const channel = openChannel(stream, on, deps.beat)

  async function check(payload: Buffer): Promise<void> {
    const { token, ...said } = fromJsonPart<Hello>(payload)
    const request = { method: 'POST', path: HELLO_PATH, body: Buffer.from(signedText(said)) }
    const claims = await deps.verifier.verify(token, request, deps.clock.now())
    if (!deps.from.includes(claims.from)) throw new AppError('unauthenticated')
    // It hung up while it was checked: taken in now, nobody would ever notice that it is gone.
    if (hasEnded) return
    clearTimeout(late)
    welcomed = welcome(said.name, channel, said)
    for (const frame of early ?? []) welcomed.frame(...frame)
    early = null
  }

  function refuse(error: unknown): void {
    if (!hasEnded) deps.log.error('channel.refused', { error: String(error) })
    stream.destroy()
  }
}

function signedText({ name, hardware }: Omit<Hello, 'token'>): string {
  return hardware === undefined ? name : `${name}\n${hardware}`
}
