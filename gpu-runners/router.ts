/**
 * The router: runners dial it and say which models they have warm; requests go to one of them over its
 * channel. A runner that is lost has its requests sent to another: the receipt's id is made from the
 * request, so work that was done twice is billed once.
 */
import type { Duplex } from 'node:stream'
import type { Clock, InferenceCall, InferenceReply, InferenceRouter, Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Verifier } from '#core/internal/signing.ts'
import type { ErrorCode } from '#schemas/errors.ts'
import { type Channel, FRAME, type FrameType, fromJsonPart, openChannel } from './channel.ts'
import { ReceiptCopies } from './copies.ts'
import { inferHead, readReply } from './messages.ts'
import { SharedContexts } from './shared-contexts.ts'

/** How long a request waits for any runner to come (back). */
const NO_RUNNER_WAIT_MS = 10_000
/** Requests in flight to one runner; over it the queue would only grow. */
const IN_FLIGHT_MAX = 20_000
const LATE_MS = 100
export const HELLO_PATH = '/hello'

type Pending = {
  call: InferenceCall
  /** Where it is in flight; null while it waits for a runner. */
  at: { runner: Runner; id: number } | null
  departed: boolean
  resolve(reply: InferenceReply): void
  reject(error: unknown): void
}
type Runner = {
  name: string
  channel: Channel
  warm: Set<string>
  draining: boolean
  pending: Map<number, Pending>
  contexts: SharedContexts
  copies: ReceiptCopies
}

export type Router = {
  router: InferenceRouter
  /** Takes over a connection that a runner has dialled. */
  attach(stream: Duplex): void
  close(): void
}

export function createRouter(deps: {
  clock: Clock
  log: Log
  verifier: Verifier
  /** Sends lines, as a JSON array, to the ledger: for receipts whose runner was lost. */
  ship(lines: string): Promise<void>
}): Router {
  const runners = new Set<Runner>()
  const waiting = new Set<() => void>()
  let nextId = 1
  const late = setInterval(rejectLate, LATE_MS).unref()

  function attach(stream: Duplex): void {
    let runner: Runner | null = null
    /** What came behind the hello while it was checked. */
    let early: [FrameType, number, Buffer][] | null = null
    let hasEnded = false
    const channel = openChannel(stream, {
      frame(type, id, payload) {
        if (runner) onFrame(runner, type, id, payload)
        else if (early) early.push([type, id, payload])
        else if (type !== FRAME.hello) refuse(new Error('the first frame is no hello'))
        else {
          early = []
          greet(payload).catch(refuse)
        }
      },
      end() {
        hasEnded = true
        if (runner) lose(runner)
      },
    })
    async function greet(payload: Buffer): Promise<void> {
      const hello = fromJsonPart<{ token: string; runner: string }>(payload)
      const request = { method: 'POST', path: HELLO_PATH, body: Buffer.from(hello.runner) }
      const claims = await deps.verifier.verify(hello.token, request, deps.clock.now())
      if (claims.from !== 'runner') throw new AppError('unauthenticated')
      // It hung up while it was checked: taken in now, nobody would ever notice that it is gone.
      if (hasEnded) return
      runner = {
        name: hello.runner,
        channel,
        warm: new Set(),
        draining: false,
        pending: new Map(),
        contexts: new SharedContexts(channel),
        copies: new ReceiptCopies(),
      }
      runners.add(runner)
      deps.log.info('router.runner_joined', { runner: runner.name })
      for (const frame of early ?? []) onFrame(runner, ...frame)
      for (const wake of waiting) wake()
    }
    function refuse(error: unknown): void {
      deps.log.error('router.runner_refused', { error: String(error) })
      stream.destroy()
    }
  }

  function onFrame(runner: Runner, type: FrameType, id: number, payload: Buffer): void {
    if (type === FRAME.warm) runner.warm = new Set(fromJsonPart<string[]>(payload))
    else if (type === FRAME.drain) runner.draining = true
    else if (type === FRAME.shipped) runner.copies.drop(payload.readDoubleLE(0))
    else if (type === FRAME.reply) onReply(runner, id, payload)
    else if (type === FRAME.error) onError(runner, id, payload)
  }

  function onReply(runner: Runner, id: number, payload: Buffer): void {
    const pending = take(runner, id)
    // A caller that gave up leaves a gap, so that copies can still be counted off.
    if (!pending) {
      runner.copies.push(null)
      return
    }
    const { head, line, body } = readReply(payload)
    runner.copies.push({ call: pending.call, line })
    pending.resolve({ ...head, body })
  }

  function onError(runner: Runner, id: number, payload: Buffer): void {
    const pending = take(runner, id)
    const error = fromJsonPart<{ code: ErrorCode; public: string; retryAfterS?: number }>(payload)
    pending?.reject(
      new AppError(error.code, { ...error, internal: `runner ${runner.name}: ${error.public}` }),
    )
  }

  function take(runner: Runner, id: number): Pending | undefined {
    const pending = runner.pending.get(id)
    runner.pending.delete(id)
    return pending
  }

  function lose(runner: Runner): void {
    runners.delete(runner)
    deps.log.error('router.runner_lost', { runner: runner.name, in_flight: runner.pending.size })
    shipCopies(runner)
    for (const pending of runner.pending.values()) place(pending)
    runner.pending.clear()
  }

  function shipCopies(runner: Runner): void {
    const lines = runner.copies.lines()
    if (lines.length === 0) return
    deps.ship(`[${lines.join(',')}]`).catch(error => {
      deps.log.error('router.copies_not_shipped', { runner: runner.name, error: String(error) })
    })
  }

  /** A runner drops late work when its next batch forms; the caller hears of it now. */
  function rejectLate(): void {
    const now = deps.clock.now()
    for (const runner of runners) {
      for (const [id, pending] of runner.pending) {
        if (pending.call.deadline + LATE_MS > now) continue
        take(runner, id)?.reject(new AppError('deadline_exceeded'))
        runner.channel.send(FRAME.cancel, id, [])
      }
    }
  }

  /** Sends a request to a runner, or lets it wait for one. */
  function place(pending: Pending): void {
    pending.at = null
    const { call } = pending
    const leftMs = call.deadline - deps.clock.now()
    const runner = choose(runners, call.model.digest)
    if (pending.departed) pending.reject(new AppError('canceled'))
    else if (leftMs <= 0) pending.reject(new AppError('deadline_exceeded'))
    else if (!runner) wait(pending, Math.min(NO_RUNNER_WAIT_MS, leftMs))
    else if (runner.pending.size >= IN_FLIGHT_MAX) {
      pending.reject(new AppError('overloaded', { retryable: true, retryAfterS: 1 }))
    } else sendTo(runner, pending)
  }

  function sendTo(runner: Runner, pending: Pending): void {
    const { call } = pending
    const id = nextId
    nextId = nextId === 0xffffffff ? 1 : nextId + 1
    runner.pending.set(id, pending)
    pending.at = { runner, id }
    const head = inferHead({
      context: runner.contexts.idOf(call),
      deadline: call.deadline,
      jsonLength: call.jsonLength,
      requestId: call.call.requestId,
    })
    runner.channel.send(FRAME.infer, id, [head, call.body])
  }

  function wait(pending: Pending, waitMs: number): void {
    const timer = setTimeout(() => {
      waiting.delete(wake)
      const isLate = pending.call.deadline <= deps.clock.now()
      pending.reject(isLate ? new AppError('deadline_exceeded') : noRunner())
    }, waitMs)
    const wake = () => {
      clearTimeout(timer)
      waiting.delete(wake)
      place(pending)
    }
    waiting.add(wake)
  }

  return {
    router: {
      infer(call, departure) {
        return new Promise((resolve, reject) => {
          const pending: Pending = { call, at: null, departed: false, resolve, reject }
          departure?.addEventListener('abort', () => depart(pending), { once: true })
          place(pending)
        })
      },
      ready: async () => [...runners].some(runner => !runner.draining),
    },
    attach,
    close() {
      clearInterval(late)
      for (const runner of runners) runner.channel.close()
    },
  }

  /** Its work is dropped where it has not begun; a reply that comes all the same is for nobody. */
  function depart(pending: Pending): void {
    pending.departed = true
    pending.at?.runner.channel.send(FRAME.cancel, pending.at.id, [])
  }
}

function noRunner(): AppError {
  return new AppError('unavailable', {
    public: 'No runner is there to run the model.',
    retryable: true,
    retryAfterS: 1,
  })
}

/** Warm before cold, then the one with the least to do. */
function choose(runners: Iterable<Runner>, digest: string): Runner | null {
  let best: Runner | null = null
  let bestCost = Infinity
  for (const runner of runners) {
    if (runner.draining) continue
    const cost = runner.pending.size + (runner.warm.has(digest) ? 0 : 1_000)
    if (cost < bestCost) {
      best = runner
      bestCost = cost
    }
  }
  return best
}
