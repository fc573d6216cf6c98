/** The client's half of a queue over HTTP: a runner's queue without database credentials. */
import * as z from 'zod'
import type { Queue } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { checkOutgoing, checkReceive, checkRedrive, checkVisibility } from './message.ts'
import type { QueueInput, QueueOperation } from './serve.ts'
import { nap } from './unavailable.ts'

const RETRY_MS_FIRST = 50
const RETRY_MS_MAX = 1_000
const messageSchema = z.object({
  id: z.string(),
  body: z.string(),
  receipt: z.string(),
  receiveCount: z.number(),
})
const receivedSchema = z.object({ messages: z.array(messageSchema) })
const heldSchema = z.object({ held: z.boolean() })
const countSchema = z.object({ count: z.number() })

/**
 * `request` sends one operation and its input to where `serveQueue` answers and gives back the answer;
 * it throws an `AppError` for an error reply, and anything else when nobody answered. `receive` retries
 * what may pass until its wait is over; the others throw, `unavailable` when nobody answered.
 */
export function remoteQueue(o: {
  request(operation: QueueOperation, input: unknown, signal?: AbortSignal): Promise<unknown>
}): Queue {
  async function ask<O extends QueueOperation>(
    operation: O,
    input: QueueInput<O>,
    signal?: AbortSignal,
  ) {
    try {
      return await o.request(operation, input, signal)
    } catch (error) {
      if (error instanceof AppError) throw error
      throw new AppError('unavailable', {
        public: 'The queue cannot be reached now. Try again in a moment.',
        internal: `remote queue, ${operation}: ${error instanceof Error ? error.message : error}`,
        retryable: true,
        cause: error,
      })
    }
  }

  async function receive(
    queue: QueueInput<'receive'>['queue'],
    options: Parameters<Queue['receive']>[1],
  ) {
    checkReceive(options)
    const { signal, waitS, ...rest } = options
    const untilMs = performance.now() + waitS * 1000
    for (let retryMs = RETRY_MS_FIRST; ; retryMs = Math.min(retryMs * 2, RETRY_MS_MAX)) {
      if (signal?.aborted) return []
      const leftMs = Math.max(0, untilMs - performance.now())
      try {
        const answer = await ask('receive', { ...rest, queue, waitS: leftMs / 1000 }, signal)
        return receivedSchema.parse(answer).messages
      } catch (error) {
        if (signal?.aborted) return []
        if (leftMs === 0 || !mayPass(error)) throw error
      }
      await nap(Math.min(retryMs, leftMs), signal)
    }
  }

  return {
    receive,
    async send(queue, messages) {
      checkOutgoing(messages)
      await ask('send', { queue, messages })
    },
    async delete(queue, receipts) {
      await ask('delete', { queue, receipts })
    },
    async extend(queue, receipt, visibilityS) {
      checkVisibility(visibilityS)
      return heldSchema.parse(await ask('extend', { queue, receipt, visibilityS })).held
    },
    async dead(queue) {
      return countSchema.parse(await ask('dead', { queue })).count
    },
    async redrive(queue, max) {
      checkRedrive(max)
      return countSchema.parse(await ask('redrive', { queue, max })).count
    },
  }
}

function mayPass(error: unknown): boolean {
  return error instanceof AppError && (error.retryable || error.status >= 502)
}
