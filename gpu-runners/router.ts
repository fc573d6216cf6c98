/**
 * The router: runners dial it and say which models they have warm; requests go to one of them over its
 * channel. A runner that is lost has its requests sent to another: the receipt's id is made from the
 * request, so work that was done twice is billed once.
 */
import type { Duplex } from 'node:stream'
import type { Clock, InferenceRouter, Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Verifier } from '#core/internal/signing.ts'
import { type Channel, fromJsonPart } from '#platform/channel/channel.ts'
import { awaitHello } from '#platform/channel/hello.ts'
import { FRAME } from './online/frames.ts'
import { type ErrorPart, inferHead, readReply } from './online/messages.ts'
import {
  choose,
  isFull,
  newPending,
  newRunner,
  overloaded,
  type Pending,
  type Runner,
  take,
} from './online/pending.ts'

/** How long a request waits for any runner to come (back). */
const NO_RUNNER_WAIT_MS = 10_000
/** Runners that were lost with a request in flight before the request is taken for the cause. */
const LOSSES_MAX = 3
const LATE_MS = 100

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
  const waiting = new Set<Pending>()
  let waitingBytes = 0
  let nextId = 1
  const late = setInterval(rejectLate, LATE_MS).unref()

  function join(name: string, channel: Channel) {
    const runner = newRunner(name, channel)
    runners.add(runner)
    deps.log.info('router.runner_joined', { runner: name })
    for (const pending of waiting) pending.wake?.()
    return {
      frame: (type: number, id: number, payload: Buffer) => onFrame(runner, type, id, payload),
      end: () => lose(runner),
    }
  }

  function onFrame(runner: Runner, type: number, id: number, payload: Buffer): void {
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
      runner.copies.pushGap()
      return
    }
    const { head, line, body } = readReply(payload)
    runner.copies.push(pending.call.call.caller, pending.call.model, line)
    pending.resolve({ ...head, body })
  }

  function onError(runner: Runner, id: number, payload: Buffer): void {
    const error = fromJsonPart<ErrorPart>(payload)
    const internal = `runner ${runner.name}: ${error.public}`
    take(runner, id)?.reject(new AppError(error.code, { ...error, internal }))
  }

  function lose(runner: Runner): void {
    runners.delete(runner)
    deps.log.error('router.runner_lost', { runner: runner.name, in_flight: runner.pending.size })
    shipCopies(runner)
    for (const pending of runner.pending.values()) {
      pending.losses++
      place(pending)
    }
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
    else if (pending.losses >= LOSSES_MAX) pending.reject(lostTooOften())
    else if (runner) sendTo(runner, pending)
    else wait(pending, Math.min(NO_RUNNER_WAIT_MS, leftMs))
  }

  function sendTo(runner: Runner, pending: Pending): void {
    const { call } = pending
    if (isFull(runner.pending.size, runner.bytes, call)) {
      pending.reject(overloaded())
      return
    }
    const id = nextId
    nextId = nextId === 0xffffffff ? 1 : nextId + 1
    runner.pending.set(id, pending)
    runner.bytes += call.body.length
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
    const { call } = pending
    if (isFull(waiting.size, waitingBytes, call)) {
      pending.reject(overloaded())
      return
    }
    waiting.add(pending)
    waitingBytes += call.body.length
    const stop = () => {
      clearTimeout(timer)
      waiting.delete(pending)
      waitingBytes -= call.body.length
      pending.wake = null
    }
    const timer = setTimeout(() => {
      stop()
      const isLate = call.deadline <= deps.clock.now()
      pending.reject(isLate ? new AppError('deadline_exceeded') : noRunner())
    }, waitMs)
    pending.wake = () => {
      stop()
      place(pending)
    }
  }

  return {
    router: {
      infer(call, departure) {
        return new Promise((resolve, reject) => {
          const pending = newPending(call, resolve, reject)
          departure?.addEventListener('abort', () => depart(pending), { once: true })
          place(pending)
        })
      },
      ready: async () => [...runners].some(runner => !runner.draining),
    },
    attach: stream => awaitHello(stream, { ...deps, from: ['runner'] }, join),
    close() {
      clearInterval(late)
      for (const runner of runners) runner.channel.close()
    },
  }
}

/** Its work is dropped where it has not begun; a reply that comes all the same is for nobody. */
function depart(pending: Pending): void {
  pending.departed = true
  pending.at?.runner.channel.send(FRAME.cancel, pending.at.id, [])
  pending.wake?.()
}

function lostTooOften(): AppError {
  return new AppError('unavailable', {
    public: `${LOSSES_MAX} runners were lost while they worked on this request.`,
    retryable: true,
    retryAfterS: 1,
  })
}

function noRunner(): AppError {
  return new AppError('unavailable', {
    public: 'No runner is there to run the model.',
    retryable: true,
    retryAfterS: 1,
  })
}
