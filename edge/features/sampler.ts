/**
 * Some of the reads that were answered, for the skew meter: at most one a second of a tenant, told to the
 * functions in the background. It is a sample: what is lost with the edge is not missed.
 */
import type { Caller } from '#core/caller.ts'
import type { EntityRead } from '#core/deps.ts'
import type { skew } from '#core/features/features.ts'
import type { EdgeDeps } from '../deps.ts'
import { ask } from '../functions-client.ts'
import type { Reader } from './reader.ts'

const EVERY_MS = 1_000
/** Tenants that are remembered; one that was forgotten is sampled a moment early. */
const TENANTS_MAX = 10_000

export class Sampler {
  readonly #deps: EdgeDeps
  readonly #lastMs = new Map<string, number>()

  constructor(deps: EdgeDeps) {
    this.#deps = deps
  }

  /** Called with each answer: what it costs, every read pays. */
  see({ tenantId, keyId }: Caller, { plan }: Reader, rows: readonly EntityRead[][]): void {
    const now = this.#deps.clock.now()
    const last = this.#lastMs.get(tenantId)
    if (last !== undefined && now - last < EVERY_MS) return
    if (this.#lastMs.size >= TENANTS_MAX) this.#lastMs.clear()
    this.#lastMs.set(tenantId, now)
    const reads = rows[Math.floor(Math.random() * rows.length)] ?? []
    const read = reads[Math.floor(Math.random() * reads.length)]
    if (!read) return
    const { entity, entityKey, at, views } = read
    const plans = plan.views.filter(view => view.entity === entity)
    const i = Math.floor(Math.random() * plans.length)
    const [view, found] = [plans[i], views[i]]
    if (!view || !found) return
    const { values, statuses } = found
    const about = { keyId, view: view.view, version: view.version, entity, entityKey, at }
    this.#deps.background(this.#tell(tenantId, { ...about, values, statuses }))
  }

  async #tell(tenantId: string, sample: skew.Sample): Promise<void> {
    try {
      await ask(this.#deps, '/internal/features/sampled', { tenantId, ...sample })
    } catch (error) {
      this.#deps.log.error('features.not_sampled', { tenant: tenantId, error: String(error) })
    }
  }
}
