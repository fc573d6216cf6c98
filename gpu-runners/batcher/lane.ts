/** Requests of one tenant and one key, the most urgent first. */
import type { Ask } from './ask.ts'

/** Past so many that are gone the rest moves up. */
const GONE_MAX = 1_024

/** Of one level: in the order of arrival, which is the order of their turns. */
type Queue = { level: number; asks: Ask[]; head: number }

export class Lane {
  readonly #queues: Queue[] = []
  size = 0

  push(ask: Ask): void {
    let queue = this.#queues.find(({ level }) => level === ask.level)
    if (!queue) {
      queue = { level: ask.level, asks: [], head: 0 }
      this.#queues.push(queue)
    }
    queue.asks.push(ask)
    this.size++
  }

  /** The one whose turn is next; the lane must not be empty. */
  first(): Ask {
    const queue = this.#next()
    return queue.asks[queue.head]!
  }

  shift(): Ask {
    const queue = this.#next()
    const ask = queue.asks[queue.head]!
    queue.asks[queue.head++] = undefined as never
    this.size--
    if (queue.head === queue.asks.length) {
      queue.asks = []
      queue.head = 0
    } else if (queue.head > GONE_MAX) {
      queue.asks.splice(0, queue.head)
      queue.head = 0
    }
    return ask
  }

  /** Takes out those that `isDead`. */
  sweep(isDead: (ask: Ask) => boolean): Ask[] {
    const dead: Ask[] = []
    for (const queue of this.#queues) {
      queue.asks = queue.asks.slice(queue.head).filter(ask => !isDead(ask) || dead.push(ask) === 0)
      queue.head = 0
    }
    this.size -= dead.length
    return dead
  }

  #next(): Queue {
    let next: Queue | null = null
    for (const queue of this.#queues) {
      if (queue.head === queue.asks.length) continue
      if (!next || isBefore(queue.asks[queue.head]!, next.asks[next.head]!)) next = queue
    }
    return next!
  }
}

/** Whether the turn of `a` comes before that of `b`. */
export function isBefore(a: Ask, b: Ask): boolean {
  return a.turnMs < b.turnMs || (a.turnMs === b.turnMs && a.seq < b.seq)
}
