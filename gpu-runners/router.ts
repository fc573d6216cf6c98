/**
 * The router: runners dial it and say which models they have warm; requests go to the one that will have
 * answered them first. A runner that is lost has its requests sent to another, begun or not: the work has
 * no effect but its answer, and the receipt's id is made from the request, so that work that was done
 * twice is billed once. `docs/design/versions.md` has the rules.
 */
import type { Duplex } from 'node:stream'
import type { Clock, InferenceRouter, Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Verifier } from '#core/internal/signing.ts'
import { type Channel, fromJsonPart } from '#platform/channel/channel.ts'
import { awaitHello, type Machine } from '#platform/channel/hello.ts'
import { Registry } from '#platform/metrics/registry.ts'
import { BEAT, FRAME } from './online/frames.ts'
import { digestMark, type ErrorPart, inferHead, readReply, tracePart } from './online/messages.ts'
import type { Answer } from './online/questions.ts'
import { openAsking } from './routing/asking.ts'
import { type CallRunner, openCalling } from './routing/calling.ts'
import { openLoading } from './routing/loading.ts'
import { Placement } from './routing/placement.ts'
import { openReadings, type Readings } from './routing/readings.ts'
import {
  depart,
  failure,
  LOSSES_MAX,
  loseQuestions,
  lostTooOften,
  madeByAnother,
  newPending,
  newRunner,
  onAnswer,
  type Pending,
  type Runner,
  take,
} from './routing/runner.ts'
import { Waiting, type Why } from './routing/waiting.ts'
import { openWarming } from './routing/warming.ts'

const LATE_MS = 100

export type Router = {
  router: InferenceRouter
  /** Takes over a connection that a runner has dialled. */
  attach(stream: Duplex): void
  /** Its own measures, and those of its runners. */
  readings: Readings
  close(): void
}

export function createRouter(deps: {
  clock: Clock
  log: Log
  verifier: Verifier
  /** Sends lines, as a JSON array, to the ledger: for receipts whose runner was lost. */
  ship(lines: string): Promise<void>
  /** Tells whoever starts runners that a request finds none of this class; null: none at all. */
  callRunner: CallRunner
  /** What its process counts on already. */
  registry?: Registry
}): Router {
  const { registry = new Registry() } = deps
  const runners = new Set<Runner>()
  const waiting = new Waiting(deps.clock)
  const placement = new Placement()
  const loading = openLoading({ ...deps, placement, runners }, newId)
  const calling = openCalling({ ...deps, registry }, () => waiting.wakeAll())
  const warming = openWarming({ ...deps, runners, loading, calling })
  const asking = openAsking(runners, newId)
  let nextId = 1
  const late = setInterval(rejectLate, LATE_MS).unref()

  function newId(): number {
    const id = nextId
    nextId = nextId === 0xffffffff ? 1 : nextId + 1
    return id
  }

  function join(name: string, channel: Channel, machine: Partial<Machine>) {
    const runner = newRunner(name, channel, machine)
    const { hardware } = runner
    runners.add(runner)
    deps.log.info('router.runner_joined', { runner: name, hardware })
    return {
      frame: (type: number, id: number, payload: Buffer) => onFrame(runner, type, id, payload),
      end: () => lose(runner),
    }
  }

  function onFrame(runner: Runner, type: number, id: number, payload: Buffer): void {
    if (type === FRAME.reply) onReply(runner, id, payload)
    else if (type === FRAME.error) onError(runner, id, payload)
    else if (type === FRAME.warm) onWarm(runner, fromJsonPart<string[]>(payload))
    else if (type === FRAME.drain) runner.draining = true
    else if (type === FRAME.shipped) runner.copies.drop(payload.readDoubleLE(0))
    else if (type === FRAME.answer) onAnswer(runner, id, fromJsonPart<Answer>(payload))
  }

  /** The first one says that the runner is there. */
  function onWarm(runner: Runner, digests: string[]): void {
    runner.warm = new Set(digests)
    calling.met(runner)
    waiting.wakeAll()
  }

  function onReply(runner: Runner, id: number, payload: Buffer): void {
    const pending = take(runner, id)
    // A caller that gave up leaves a gap, so that copies can still be counted off.
    if (!pending) {
      runner.copies.pushGap()
      return
    }
    const { head, line, body } = readReply(payload)
    const { call, model, kind } = pending.call
    runner.copies.push({ caller: call.caller, model, kind }, line)
    placement.answered(model.digest, head.computeUs)
    if (head.made === digestMark(model.digest)) pending.resolve({ ...head, body })
    else pending.reject(madeByAnother(runner, model.digest))
  }

  function onError(runner: Runner, id: number, payload: Buffer): void {
    const pending = take(runner, id)
    const now = deps.clock.now()
    pending?.reject(failure(runner, pending.call, fromJsonPart<ErrorPart>(payload), now))
  }

  function lose(runner: Runner): void {
    runners.delete(runner)
    deps.log.error('router.runner_lost', { runner: runner.name, in_flight: runner.pending.size })
    void shipCopies(runner)
    loseQuestions(runner)
    for (const pending of runner.pending.values()) {
      pending.losses++
      place(pending)
    }
    runner.pending.clear()
  }

  async function shipCopies({ name, copies }: Runner): Promise<void> {
    for (const lines of copies.logs()) {
      await deps.ship(`[${lines.join(',')}]`).catch(error => {
        deps.log.error('router.copies_not_shipped', { runner: name, error: String(error) })
      })
    }
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
    const { model, deadline } = pending.call
    if (pending.departed) pending.reject(new AppError('canceled'))
    else if (deadline <= deps.clock.now()) pending.reject(new AppError('deadline_exceeded'))
    else if (pending.losses >= LOSSES_MAX) pending.reject(lostTooOften())
    else {
      const { warm, also } = placement.choose(runners, model)
      if (also) loading.also(also, pending.call.call.caller.tenantId, model)
      if (warm) sendTo(warm, pending)
      else wait(pending)
    }
  }

  function sendTo(runner: Runner, pending: Pending): void {
    const { call } = pending
    const context = runner.contexts.idOf(call)
    const refusal = runner.refusals.of(context, call, deps.clock.now())
    if (refusal) {
      pending.reject(refusal)
      return
    }
    if (!runner.room.take(call)) {
      const retryAfterS = Math.max(1, Math.ceil(runner.backlogUs / 1_000_000))
      pending.reject(new AppError('overloaded', { retryable: true, retryAfterS }))
      return
    }
    const id = newId()
    pending.costUs = placement.costUs(call.model.digest)
    runner.pending.set(id, pending)
    runner.backlogUs += pending.costUs
    pending.at = { runner, id }
    pending.noRunnerUntil = null
    const { trace } = call.call
    if (trace) runner.channel.send(FRAME.trace, id, [tracePart(trace)])
    const head = inferHead({
      context,
      deadline: call.deadline,
      jsonLength: call.jsonLength,
      form: call.form,
      requestId: call.call.requestId,
    })
    runner.channel.send(FRAME.infer, id, [head, call.body])
  }

  /** For a runner, or for one to have loaded the model; it is placed again when either has happened. */
  function wait(pending: Pending): void {
    const { call, model } = pending.call
    const load = loading.anywhere(call.caller.tenantId, model)
    if (!load) calling.call(model)
    const why: Why = load
      ? { for: 'a load', expectedUs: placement.loadUs(model) }
      : { for: 'a runner', expectedMs: () => calling.expectedMs(model) }
    let failure: unknown
    waiting.add(pending, why, () => {
      if (failure === undefined) place(pending)
      else pending.reject(failure)
    })
    load?.then(
      () => pending.wake?.(),
      error => {
        failure = error
        pending.wake?.()
      },
    )
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
      load: warming,
      ...asking,
      ready: async () => [...runners].some(runner => !runner.draining),
    },
    readings: openReadings({ runners, waiting, registry }, newId),
    attach: stream => awaitHello(stream, { ...deps, from: ['runner'], beat: BEAT }, join),
    close() {
      clearInterval(late)
      for (const runner of runners) runner.channel.close()
    },
  }
}
