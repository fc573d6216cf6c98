/**
 * The doorbell of the PostgreSQL queue: one connection that LISTENs for all queues of this process and
 * wakes those who wait. It is a hint alone: a ring may be lost while the connection is away, so every
 * wait has an end, and everyone is woken when it comes back.
 */
import pg from 'pg'

export const CHANNEL = 'galley_queue'
const RECONNECT_FIRST_MS = 50
const RECONNECT_MAX_MS = 2_000
/** Longest wait while nobody would ring. */
const DEAF_WAIT_MS_MAX = 500

export type Doorbell = {
  /** Taken before looking into the queue, so that a ring between the look and the wait is not missed. */
  ticket(queue: string): number
  /** Resolves at a ring since the ticket, after `ms`, or when the signal aborts. */
  wait(queue: string, ticket: number, ms: number, signal?: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** Connects at the first wait, not before: a process that only sends holds no connection for this. */
export function doorbell(connection: pg.ClientConfig): Doorbell {
  const rings = new Map<string, number>()
  const waiters = new Map<string, Set<() => void>>()
  let client: pg.Client | undefined
  let connected = false
  let started = false
  let closed = false
  let retryMs = RECONNECT_FIRST_MS
  let retryTimer: NodeJS.Timeout | undefined

  function ring(queue: string): void {
    rings.set(queue, (rings.get(queue) ?? 0) + 1)
    for (const wake of waiters.get(queue) ?? []) wake()
  }
  function ringAll(): void {
    for (const queue of new Set([...waiters.keys(), ...rings.keys()])) ring(queue)
  }

  async function connect(): Promise<void> {
    const mine = new pg.Client({ keepAlive: true, ...connection })
    client = mine
    // Both events may come, in either order, or connect() may reject: the first one counts.
    const lost = once(() => {
      connected = false
      void mine.end().catch(() => {})
      if (closed) return
      retryTimer = setTimeout(connect, retryMs)
      retryMs = Math.min(retryMs * 2, RECONNECT_MAX_MS)
    })
    mine.on('error', lost)
    mine.on('end', lost)
    mine.on('notification', note => ring(note.payload ?? ''))
    try {
      await mine.connect()
      await mine.query(`listen ${CHANNEL}`)
      connected = true
      retryMs = RECONNECT_FIRST_MS
      ringAll()
    } catch {
      lost()
    }
  }

  return {
    ticket: queue => rings.get(queue) ?? 0,
    wait(queue, ticket, ms, signal) {
      if (!started) {
        started = true
        void connect()
      }
      if (closed || signal?.aborted || (rings.get(queue) ?? 0) !== ticket) return Promise.resolve()
      return new Promise(resolve => {
        const mine = waiters.get(queue) ?? new Set()
        waiters.set(queue, mine)
        const wake = () => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', wake)
          mine.delete(wake)
          resolve()
        }
        const timer = setTimeout(wake, connected ? ms : Math.min(ms, DEAF_WAIT_MS_MAX))
        signal?.addEventListener('abort', wake)
        mine.add(wake)
      })
    },
    async close() {
      closed = true
      clearTimeout(retryTimer)
      ringAll()
      await client?.end().catch(() => {})
    },
  }
}

function once(work: () => void): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    work()
  }
}
