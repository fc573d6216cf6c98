/** What the router keeps of a runner: what it said of itself, and what it has not answered yet. */
import type { InferenceCall, InferenceReply } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { ReceiptCopies } from '#gpu-runners/online/copies.ts'
import { FRAME } from '#gpu-runners/online/frames.ts'
import type { ErrorPart } from '#gpu-runners/online/messages.ts'
import type { Answer, Question } from '#gpu-runners/online/questions.ts'
import { SharedContexts } from '#gpu-runners/online/shared-contexts.ts'
import { type Channel, jsonPart } from '#platform/channel/channel.ts'
import type { Machine } from '#platform/channel/hello.ts'
import { USUAL_CLASS } from '#schemas/cloud/pools.ts'
import { Refusals } from './refusals.ts'
import { Room } from './room.ts'

/** Runners that were lost with a request in flight before the request is taken for the cause. */
export const LOSSES_MAX = 3

export type Pending = {
  call: InferenceCall
  /** Where it is in flight; null while it waits. */
  at: { runner: Runner; id: number } | null
  /** Ends the wait, for a reason that `place` finds out. */
  wake: (() => void) | null
  /** While it waits for any runner to come: how long it does, whatever wakes it meanwhile. */
  noRunnerUntil: number | null
  departed: boolean
  /** Runners that were lost with it. */
  losses: number
  /** What it was expected to take of the runner where it is, µs. */
  costUs: number
  resolve(reply: InferenceReply): void
  reject(error: unknown): void
}

export type Runner = {
  name: string
  /** Its class: a version may ask for one. */
  hardware: string
  /** It is there for what asks for its class, and for nothing else. */
  isDedicated: boolean
  channel: Channel
  warm: Set<string>
  draining: boolean
  pending: Map<number, Pending>
  /** What it has to do, as far as it can be foreseen, µs. */
  backlogUs: number
  room: Room
  contexts: SharedContexts
  refusals: Refusals
  copies: ReceiptCopies
  questions: Map<number, { resolve(answer: Answered): void; reject(error: unknown): void }>
  /** Loads under way, by digest. */
  loading: Map<string, Promise<void>>
}

/** The runner went while it was asked: another may know. */
export class RunnerLost extends AppError {
  constructor(name: string) {
    super('unavailable', {
      public: 'The runner was lost while it loaded the model.',
      internal: `runner ${name} was lost`,
      retryable: true,
      retryAfterS: 1,
    })
    this.name = 'RunnerLost'
  }
}

export function newPending(
  call: InferenceCall,
  resolve: Pending['resolve'],
  reject: Pending['reject'],
): Pending {
  const state = { at: null, wake: null, noRunnerUntil: null, departed: false, losses: 0, costUs: 0 }
  return { call, ...state, resolve, reject }
}

export function newRunner(name: string, channel: Channel, machine: Partial<Machine>): Runner {
  const { hardware = USUAL_CLASS, isDedicated = false } = machine
  return {
    name,
    hardware,
    isDedicated,
    channel,
    warm: new Set(),
    draining: false,
    pending: new Map(),
    backlogUs: 0,
    room: new Room(),
    contexts: new SharedContexts(channel),
    refusals: new Refusals(),
    copies: new ReceiptCopies(),
    questions: new Map(),
    loading: new Map(),
  }
}

/** The request, which the runner has answered or is to forget. */
export function take(runner: Runner, id: number): Pending | undefined {
  const pending = runner.pending.get(id)
  if (!pending) return undefined
  runner.pending.delete(id)
  runner.backlogUs -= pending.costUs
  runner.room.give(pending.call)
  // Its caller leaves when it has its answer, and there is nothing to drop any more.
  pending.at = null
  return pending
}

type Answered = Extract<Answer, { ok: true }>

/** Asks the runner itself. Rejects with its error, or `RunnerLost`. */
export function question(runner: Runner, id: number, asked: Question): Promise<Answered> {
  return new Promise((resolve, reject) => {
    runner.questions.set(id, { resolve, reject })
    runner.channel.send(FRAME.ask, id, [jsonPart(asked)])
  })
}

export function onAnswer(runner: Runner, id: number, answer: Answer): void {
  const asked = runner.questions.get(id)
  runner.questions.delete(id)
  if (!('error' in answer)) asked?.resolve(answer)
  else asked?.reject(runnerError(runner, answer.error))
}

function runnerError(runner: Runner, error: { code: AppError['code']; public: string }) {
  return new AppError(error.code, { ...error, internal: `runner ${runner.name}: ${error.public}` })
}

/** Why it does not answer a request; what holds for others as well is kept. */
export function failure(
  runner: Runner,
  asked: InferenceCall,
  part: ErrorPart,
  nowMs: number,
): AppError {
  const error = runnerError(runner, part)
  if (part.full) runner.refusals.keep(runner.contexts.idOf(asked), { ...part.full, error }, nowMs)
  return error
}

/** An answer of another version than was asked for reaches nobody. */
export function madeByAnother({ name }: Runner, digest: string): AppError {
  return new AppError('internal', { internal: `${name} ran another version than ${digest}` })
}

/** Nobody answers any more what it was asked. */
export function loseQuestions(runner: Runner): void {
  for (const asked of runner.questions.values()) asked.reject(new RunnerLost(runner.name))
  runner.questions.clear()
}

/** Its work is dropped where it has not begun; a reply that comes all the same is for nobody. */
export function depart(pending: Pending): void {
  pending.departed = true
  pending.at?.runner.channel.send(FRAME.cancel, pending.at.id, [])
  pending.wake?.()
}

export function lostTooOften(): AppError {
  return new AppError('unavailable', {
    public: `${LOSSES_MAX} runners were lost while they worked on this request.`,
    retryable: true,
    retryAfterS: 1,
  })
}
