/** Keeps a message hidden while it is worked on. */
import type { Message, Queue } from '#core/deps.ts'
import type { QueueName } from '#schemas/queues.ts'

/** Extends the message's visibility three times per period until released; a failed try is repeated. */
export function holdMessage(
  queue: Queue,
  name: QueueName,
  message: Message,
  visibilityS: number,
): { release(): void } {
  const timer = setInterval(
    () => void queue.extend(name, message.receipt, visibilityS).catch(() => {}),
    (visibilityS * 1000) / 3,
  )
  return { release: () => clearInterval(timer) }
}
