/** Messages of the queues that a runner reads, one at a time. */
import type { Message, Queue } from '#core/deps.ts'
import type { RunnerQueue } from '#schemas/queues.ts'

/** As long as a queue lets anybody wait. */
const WAIT_S_MAX = 20
/** Of several queues each is asked in turn: none waits long for another. */
const WAIT_S_EACH = 1

export type Received = { queue: RunnerQueue; message: Message }

/** What comes first; null when nothing came for a while, or the signal fired. */
export function receiver(queue: Queue, names: readonly RunnerQueue[]) {
  const waitS = names.length > 1 ? WAIT_S_EACH : WAIT_S_MAX
  let turn = 0
  return async (signal: AbortSignal): Promise<Received | null> => {
    for (let asked = 0; asked < names.length; asked++) {
      const name = names[turn]!
      turn = (turn + 1) % names.length
      const [message] = await queue.receive(name, { max: 1, waitS, signal })
      if (message) return { queue: name, message }
    }
    return null
  }
}
