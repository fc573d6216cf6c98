/** Dead messages back to the queue that they came from, by as many calls of the functions as it takes. */
import type { Queue } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { QueueName } from '#schemas/queues.ts'

/** A call ends well within the 29 s that a function has for it. */
const MESSAGES_PER_CALL = 100

export type Redriven = {
  queue: QueueName
  /** Messages that were sent back; some of them twice where a call before this one was cut off. */
  sent: number
  /** Messages that are still dead; SQS calls its count approximate. */
  dead: number
}

/** Up to `max`. Throws, when some were sent already, with how many. */
export async function redriveAll(
  queue: Pick<Queue, 'redrive' | 'dead'>,
  name: QueueName,
  max: number,
): Promise<Redriven> {
  let sent = 0
  try {
    for (let more = true; more && sent < max; ) {
      const asked = Math.min(MESSAGES_PER_CALL, max - sent)
      const count = await queue.redrive(name, asked)
      sent += count
      more = count === asked
    }
    return { queue: name, sent, dead: await queue.dead(name) }
  } catch (cause) {
    if (sent === 0) throw cause
    const why = cause instanceof AppError ? cause.public : String(cause)
    throw new AppError('unavailable', {
      public: `${sent} messages were sent back to ${name}, and then: ${why} Run it again for the others.`,
      cause,
    })
  }
}
