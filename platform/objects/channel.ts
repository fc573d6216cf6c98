/**
 * Objects over a channel: thousands of calls a second from one place, which an HTTP request each with a
 * signature each would cost more than the calls themselves. Who dials has shown once who it is.
 */
import { createConnection, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock, Log } from '#core/deps.ts'
import { AppError, fromProblem, inFull, problem } from '#core/error.ts'
import type { Signer, Verifier } from '#core/internal/signing.ts'
import { type Channel, fromJsonPart, HELLO, jsonPart, openChannel } from '../channel/channel.ts'
import { awaitHello, helloOf } from '../channel/hello.ts'
import type { Snapshot } from '../metrics/registry.ts'
import type { CallObject } from './remote.ts'
import type { ObjectHost } from './sqlite.ts'

const CALL = 2
const REPLY = 3
const ERROR = 4
/** Longer than any call takes; a host that has died ends the channel sooner. */
const PATIENCE_MS = 5_000
const RETRY_FIRST_MS = 20
const RETRY_MAX_MS = 500

/** In place of a class: the host itself, which answers with what it has measured. */
const HOST = 'host'

type Call = [className: string, name: string, method: string, input: unknown]
type Waiting = {
  resolve(value: unknown): void
  reject(error: unknown): void
  timer: NodeJS.Timeout
}

/** Takes over a connection. */
export function answerObjects(
  stream: Duplex,
  deps: {
    host: Pick<ObjectHost, 'call'>
    measured?: () => Snapshot
    verifier: Verifier
    clock: Clock
    log: Log
  },
): void {
  awaitHello(stream, { ...deps, from: ['edge', 'functions'] }, (_, channel) => ({
    frame(type, id, payload) {
      if (type !== CALL) return
      const [className, name, method, input] = fromJsonPart<Call>(payload)
      if (className === HOST) {
        channel.send(REPLY, id, [jsonPart(deps.measured?.() ?? [])])
        return
      }
      deps.host.call(className, name, method, input).then(
        value => channel.send(REPLY, id, [jsonPart(value ?? null)]),
        error => {
          const document = problem(error, '')
          const told = { object: `${className}/${name}`, method, error: inFull(error) }
          if (document.status >= 500) deps.log.error('objects.failed', told)
          channel.send(ERROR, id, [jsonPart(document)])
        },
      )
    },
    end() {},
  }))
}

/** Calls over one connection, dialled again when it breaks. Throws `unavailable` while there is none. */
export function dialObjects(o: {
  path: string
  name: string
  signer: Signer
  clock: Clock
  log: Log
}): { call: CallObject; measured(): Promise<Snapshot>; close(): void } {
  const waiting = new Map<number, Waiting>()
  let current: Channel | null = null
  let unsent: [number, Uint8Array][] = []
  let nextId = 1
  let closed = false

  function settle(id: number): Waiting | undefined {
    const found = waiting.get(id)
    waiting.delete(id)
    if (found) clearTimeout(found.timer)
    return found
  }

  function onFrame(type: number, id: number, payload: Buffer): void {
    const found = settle(id)
    if (type === REPLY) found?.resolve(fromJsonPart(payload))
    else found?.reject(fromProblem(fromJsonPart(payload)))
  }

  async function oneConnection(socket: Socket): Promise<void> {
    const ended = Promise.withResolvers<void>()
    const channel = openChannel(socket, { frame: onFrame, end: () => ended.resolve() })
    channel.send(HELLO, 0, [await helloOf(o.signer, o.clock, o.name)])
    current = channel
    for (const [id, payload] of unsent) channel.send(CALL, id, [payload])
    unsent = []
    await ended.promise
    current = null
    // What was under way may have been done; who asks again gets the same answer.
    for (const id of [...waiting.keys()]) settle(id)?.reject(away('the connection was lost'))
  }

  async function keepDialling(): Promise<void> {
    let isTold = false
    for (let pauseMs = RETRY_FIRST_MS; !closed; pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS)) {
      try {
        await oneConnection(await connect(o.path))
        pauseMs = RETRY_FIRST_MS
        isTold = false
      } catch (error) {
        // Once, and not at every try for as long as it is away.
        if (!isTold) o.log.info('objects.unreachable', { error: String(error) })
        isTold = true
      }
      await new Promise(resolve => setTimeout(resolve, pauseMs))
    }
  }

  void keepDialling()
  function call<T>(className: string, name: string, method: string, input: unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      const id = nextId
      nextId = nextId === 0xffffffff ? 1 : nextId + 1
      const late = () => {
        unsent = unsent.filter(([each]) => each !== id)
        settle(id)?.reject(away('no answer came in time'))
      }
      const timer = setTimeout(late, PATIENCE_MS)
      waiting.set(id, { resolve: resolve as (value: unknown) => void, reject, timer })
      const payload = jsonPart([className, name, method, input] satisfies Call)
      if (current) current.send(CALL, id, [payload])
      else unsent.push([id, payload])
    })
  }

  return {
    call,
    measured: () => call<Snapshot>(HOST, '', '', null),
    close() {
      closed = true
      current?.close()
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

function away(why: string): AppError {
  return new AppError('unavailable', {
    internal: `objects: ${why}`,
    retryable: true,
    retryAfterS: 1,
  })
}
