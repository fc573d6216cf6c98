/** Messages of the queues that a runner reads, one at a time. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Message, Queue } from '#core/deps.ts'
import { isShared, type RunnerQueue } from '#schemas/queues.ts'

/** As long as a queue lets anybody wait. */
const WAIT_S_MAX = 20
/** Of several queues each is asked in turn: none waits long for another. */
const WAIT_S_EACH = 1
/**
 * Who met another class's message in a queue that they share looks elsewhere for a part of this, by chance: of two who ask
 * in step one would be given it every time, and the other, whose it is, never.
 */
const AWAY_MS_MAX = 4_000

export type Received = { queue: RunnerQueue; message: Message }

export type Receiver = {
  /** What comes first; null when nothing came for a while, or the signal fired. */
  next(signal: AbortSignal): Promise<Received | null>
  /** This queue gave what another class is to do. */
  met(queue: RunnerQueue): void
}

export function receiver(queue: Queue, names: readonly RunnerQueue[]): Receiver {
  const waitS = names.length > 1 ? WAIT_S_EACH : WAIT_S_MAX
  const awayUntil = new Map<RunnerQueue, number>()
  const awayMs = (name: RunnerQueue) => (awayUntil.get(name) ?? 0) - performance.now()
  let turn = 0
  return {
    async next(signal) {
      const away = Math.min(...names.map(awayMs))
      if (away > 0) await sleep(away, undefined, { signal }).catch(() => {})
      for (let asked = 0; asked < names.length && !signal.aborted; asked++) {
        const name = names[turn]!
        turn = (turn + 1) % names.length
        if (awayMs(name) > 0) continue
        const [message] = await queue.receive(name, { max: 1, waitS, signal })
        if (message) return { queue: name, message }
      }
      return null
    },
    met(name) {
      if (isShared(name)) awayUntil.set(name, performance.now() + Math.random() * AWAY_MS_MAX)
    },
  }
}
