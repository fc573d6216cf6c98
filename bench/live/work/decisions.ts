/** Decisions, each on an event of its own. */
import type { Work } from '../open-loop.ts'
import { payment } from '../payments.ts'

export function work({ run, endpoint }: { run: string; endpoint: string }): Work {
  return {
    request(i) {
      const { id, data } = payment(run, i) as { id: string; data: unknown }
      return { path: `/v1/decisions/${endpoint}`, body: JSON.stringify({ id, data }) }
    },
  }
}
