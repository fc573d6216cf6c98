/** Sends what a request has promised as soon as it commits, and before the reply leaves. */
import type { Database, Queue } from '#core/deps.ts'
import { inFull } from '#core/error.ts'
import * as outbox from '#core/outbox.ts'
import type { Base } from './base.ts'

export type Relay = {
  /** Begins to send. */
  promised(): void
  /** Resolves when all that was promised is sent, or left to the schedule because it cannot be sent now. */
  settled(): Promise<void>
}

export function openRelay(deps: Pick<Base, 'log'> & { db: Database; queue: Queue }): Relay {
  let sending: Promise<void> | null = null
  let again = false
  async function send(): Promise<void> {
    do {
      again = false
      while ((await outbox.relay(deps)) > 0);
    } while (again)
  }
  return {
    promised() {
      again = true
      sending ??= send()
        .catch(error => deps.log.error('functions.relay_failed', { error: inFull(error) }))
        .finally(() => {
          sending = null
        })
    },
    async settled() {
      await sending
    },
  }
}
