/** Texts of so many tokens for a model that embeds them, each of no use after `timeoutMs`. */
import type { Work } from '../open-loop.ts'

export function work(o: { model: string; body: string; timeoutMs: number }): Work {
  let good = 0
  const headers = { 'galley-timeout-ms': String(o.timeoutMs) }
  return {
    request: () => ({ path: `/v2/models/${o.model}/infer`, body: o.body, headers }),
    answered(_, status, __, latencyMs) {
      if (status === 200 && latencyMs <= o.timeoutMs) good++
    },
    report: () => ({ good }),
  }
}
