/** Sends what a request has promised as soon as it commits, and before the reply leaves. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database, Log, Queue } from '#core/deps.ts'
import { inFull } from '#core/error.ts'
import * as outbox from '#core/outbox.ts'

/**
 * A reply waits for no more messages than these and for no longer; the schedule sends the others, a second
 * later. What is being sent when the function is frozen stays locked until the database ends its transaction.
 */
const SENT_MAX = outbox.RELAY_BATCH
const WAIT_MS_MAX = 5_000

export type Relay = {
  /** Begins to send these messages, and none of anybody else's. */
  promised(messages: readonly bigint[]): void
  /** Resolves when they are sent, or left to the schedule because they cannot be sent now. */
  settled(): Promise<void>
}

export function openRelay(
  deps: { db: Database; queue: Queue; log: Log },
  waitMsMax = WAIT_MS_MAX,
): Relay {
  let sending: Promise<unknown> = Promise.resolve()
  async function send(messages: readonly bigint[]): Promise<void> {
    try {
      await outbox.relay(deps, messages.slice(0, SENT_MAX))
    } catch (error) {
      deps.log.error('functions.relay_failed', { error: inFull(error) })
    }
  }
  return {
    promised(messages) {
      sending = Promise.all([sending, send(messages)])
    },
    async settled() {
      const own = sending
      sending = Promise.resolve()
      const enough = new AbortController()
      const waited = sleep(waitMsMax, undefined, { signal: enough.signal }).catch(() => {})
      await Promise.race([own, waited])
      enough.abort()
    },
  }
}
