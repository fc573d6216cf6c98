/** Reads of a service, of so many entities each. */
import type { Work } from '../open-loop.ts'
import { cardOf } from '../payments.ts'

export function work({ service, entities }: { service: string; entities: number }): Work {
  return {
    request: i => ({
      path: `/v1/features/${service}/read`,
      body: JSON.stringify({
        entities: Array.from({ length: entities }, (_, j) => ({ card: cardOf(i * entities + j) })),
      }),
    }),
  }
}
