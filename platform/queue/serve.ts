/**
 * The server's half of a queue over HTTP, for runners that hold no database credentials. The caller
 * brings the transport and has checked who asks; what is asked is checked here.
 */
import * as z from 'zod'
import type { Queue } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { QUEUES, type QueueName } from '#schemas/queues.ts'

const queue = z.enum(Object.keys(QUEUES) as [QueueName, ...QueueName[]])
const seconds = z.number().min(0)
const INPUTS = {
  send: z.object({
    queue,
    messages: z.array(z.object({ body: z.string(), delayS: seconds.optional() })).max(10_000),
  }),
  receive: z.object({ queue, max: z.number(), waitS: seconds, visibilityS: seconds.optional() }),
  delete: z.object({ queue, receipts: z.array(z.string().max(2_048)).max(10_000) }),
  extend: z.object({ queue, receipt: z.string().max(2_048), visibilityS: seconds }),
  dead: z.object({ queue }),
  redrive: z.object({ queue, max: z.number() }),
}
export type QueueOperation = keyof typeof INPUTS
export type QueueInput<O extends QueueOperation> = z.infer<(typeof INPUTS)[O]>

/** Answers one operation. `signal` aborts when the client is gone: a long poll then ends at once. */
export async function serveQueue(
  driver: Queue,
  operation: string,
  input: unknown,
  signal?: AbortSignal,
): Promise<unknown> {
  switch (operation) {
    case 'send': {
      const given = parse('send', input)
      await driver.send(given.queue, given.messages)
      return {}
    }
    case 'receive':
      return { messages: await receive(driver, parse('receive', input), signal) }
    case 'delete': {
      const given = parse('delete', input)
      await driver.delete(given.queue, given.receipts)
      return {}
    }
    case 'extend': {
      const given = parse('extend', input)
      return { held: await driver.extend(given.queue, given.receipt, given.visibilityS) }
    }
    case 'dead':
      return { count: await driver.dead(parse('dead', input).queue) }
    case 'redrive': {
      const given = parse('redrive', input)
      return { count: await driver.redrive(given.queue, given.max) }
    }
    default:
      throw new AppError('not_found', {
        public: `A queue has no operation "${operation}"; it has ${Object.keys(INPUTS).join(', ')}.`,
      })
  }
}

async function receive(driver: Queue, given: QueueInput<'receive'>, signal?: AbortSignal) {
  const messages = await driver.receive(given.queue, { ...given, signal })
  if (!signal?.aborted) return messages
  // Nobody is there to work on these: others should not have to wait for them.
  await Promise.all(messages.map(m => driver.extend(given.queue, m.receipt, 0)))
  return []
}

function parse<O extends QueueOperation>(operation: O, input: unknown): QueueInput<O> {
  const result = INPUTS[operation].safeParse(input)
  if (result.success) return result.data as QueueInput<O>
  throw new AppError('invalid_request', {
    public: `The input of ${operation} is malformed: ${z.prettifyError(result.error)}`,
  })
}
