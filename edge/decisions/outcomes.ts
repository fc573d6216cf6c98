/**
 * Outcomes on their way to the control API, some together. They may be lost with the edge: the object
 * keeps what a decision was made by, and from that a retry or a replay makes it again.
 */
import type { RecordedOutcome } from '#core/decisions/decisions.ts'
import type { EdgeDeps } from '../deps.ts'
import { ask } from '../functions-client.ts'

const GATHER_MS = 30
const TOGETHER_MAX = 500
/** The functions start again within seconds. */
const RETRY_MS = [200, 1_000, 3_000]

export class Outcomes {
  readonly #deps: EdgeDeps
  readonly #waiting = new Map<string, RecordedOutcome[]>()

  constructor(deps: EdgeDeps) {
    this.#deps = deps
  }

  tell(tenantId: string, outcome: RecordedOutcome): void {
    const waiting = this.#waiting.get(tenantId)
    if (waiting) {
      waiting.push(outcome)
      if (waiting.length < TOGETHER_MAX) return
      this.#waiting.delete(tenantId)
      this.#deps.background(this.#send(tenantId, waiting))
      return
    }
    this.#waiting.set(tenantId, [outcome])
    this.#deps.background(this.#sendSoon(tenantId))
  }

  async #sendSoon(tenantId: string): Promise<void> {
    await new Promise(resolve => setTimeout(resolve, GATHER_MS))
    const outcomes = this.#waiting.get(tenantId)
    this.#waiting.delete(tenantId)
    if (outcomes) await this.#send(tenantId, outcomes)
  }

  async #send(tenantId: string, outcomes: RecordedOutcome[]): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        await ask(this.#deps, '/internal/decisions/outcomes', { tenantId, outcomes })
        return
      } catch (error) {
        const pauseMs = RETRY_MS[tries]
        const told = { tenant: tenantId, count: outcomes.length, error: String(error) }
        if (pauseMs === undefined) return this.#deps.log.error('decisions.outcomes_lost', told)
        await new Promise(resolve => setTimeout(resolve, pauseMs))
      }
    }
  }
}
