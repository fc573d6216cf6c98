/** What the router keeps of its runners and of the requests that they have not answered yet. */
import type { InferenceCall, InferenceReply } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Channel } from '#platform/channel/channel.ts'
import { ReceiptCopies } from './copies.ts'
import { SharedContexts } from './shared-contexts.ts'

/** Requests in flight to one runner, or waiting for any; over it the queue would only grow. */
const REQUESTS_MAX = 20_000
/** Of their bodies: they stay here until the answer, for the case that the runner is lost. */
const BODY_BYTES_MAX = 512 * 1024 ** 2

export type Pending = {
  call: InferenceCall
  /** Where it is in flight; null while it waits for a runner. */
  at: { runner: Runner; id: number } | null
  /** Ends the wait for a runner. */
  wake: (() => void) | null
  departed: boolean
  /** Runners that were lost with it. */
  losses: number
  resolve(reply: InferenceReply): void
  reject(error: unknown): void
}

export type Runner = {
  name: string
  channel: Channel
  warm: Set<string>
  draining: boolean
  pending: Map<number, Pending>
  /** Of the bodies in flight. */
  bytes: number
  contexts: SharedContexts
  copies: ReceiptCopies
}

export function newPending(
  call: InferenceCall,
  resolve: Pending['resolve'],
  reject: Pending['reject'],
): Pending {
  return { call, at: null, wake: null, departed: false, losses: 0, resolve, reject }
}

export function newRunner(name: string, channel: Channel): Runner {
  return {
    name,
    channel,
    warm: new Set(),
    draining: false,
    pending: new Map(),
    bytes: 0,
    contexts: new SharedContexts(channel),
    copies: new ReceiptCopies(),
  }
}

/** The request, which the runner has answered or is to forget. */
export function take(runner: Runner, id: number): Pending | undefined {
  const pending = runner.pending.get(id)
  if (!pending) return undefined
  runner.pending.delete(id)
  runner.bytes -= pending.call.body.length
  return pending
}

/** Warm before cold, then the one with the least to do. */
export function choose(runners: Iterable<Runner>, digest: string): Runner | null {
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

/** Whether so many requests with so many bytes leave no room for this one; alone it always fits. */
export function isFull(requests: number, bytes: number, { body }: InferenceCall): boolean {
  return requests >= REQUESTS_MAX || (requests > 0 && bytes + body.length > BODY_BYTES_MAX)
}

export function overloaded(): AppError {
  return new AppError('overloaded', { retryable: true, retryAfterS: 1 })
}
