/**
 * Room for requests that are not answered yet, shared between tenants: each may take as much as it leaves
 * free (dynamic queue thresholds, Choudhury and Hahne 1998). A tenant that floods alone gets half of it,
 * n of them an (n+1)th each, and what is then free is there for whoever comes next.
 */
import type { InferenceCall } from '#core/deps.ts'
import type { TenantId } from '#schemas/ids.ts'

/** Over it the queue would only grow. */
const REQUESTS_MAX = 20_000
/** Of their bodies: they stay here until the answer, for the case that the runner is lost. */
const BODY_BYTES_MAX = 512 * 1024 ** 2

type Held = { requests: number; bytes: number }
type Asked = Pick<InferenceCall, 'body'> & { call: { caller: { tenantId: TenantId } } }

export class Room {
  readonly #max: Held
  readonly #total: Held = { requests: 0, bytes: 0 }
  readonly #tenants = new Map<TenantId, Held>()

  constructor(max: Held = { requests: REQUESTS_MAX, bytes: BODY_BYTES_MAX }) {
    this.#max = max
  }

  /** Takes room for the request. False: there is none for this tenant; alone a request always fits. */
  take({ body, call }: Asked): boolean {
    const { tenantId } = call.caller
    const total = this.#total
    let held = this.#tenants.get(tenantId)
    const freeRequests = this.#max.requests - total.requests
    const freeBytes = this.#max.bytes - total.bytes
    const fits =
      (held?.requests ?? 0) < freeRequests &&
      (held?.bytes ?? 0) < freeBytes &&
      body.length <= freeBytes
    if (!fits && total.requests > 0) return false
    if (!held) {
      held = { requests: 0, bytes: 0 }
      this.#tenants.set(tenantId, held)
    }
    for (const each of [total, held]) {
      each.requests++
      each.bytes += body.length
    }
    return true
  }

  give({ body, call }: Asked): void {
    const { tenantId } = call.caller
    const held = this.#tenants.get(tenantId)
    if (!held) return
    for (const each of [this.#total, held]) {
      each.requests--
      each.bytes -= body.length
    }
    if (held.requests === 0) this.#tenants.delete(tenantId)
  }
}
