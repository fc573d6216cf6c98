/** Batches of events, one request each. */
import type { Work } from '../open-loop.ts'
import { payment } from '../payments.ts'

export function work({ run, batch }: { run: string; batch: number }): Work {
  return {
    request: i => ({
      path: '/v1/events',
      type: 'application/cloudevents-batch+json',
      body: JSON.stringify(Array.from({ length: batch }, (_, j) => payment(run, i * batch + j))),
    }),
  }
}
