/**
 * What this edge saw of the rollouts that run, told to the control API once a second; its answer says
 * whether a guard ended them. An edge that dies takes what it has not told yet with it.
 */
import type { InferenceReply, Servable } from '#core/deps.ts'
import { outputsOf } from '#core/inference/outputs.ts'
import {
  addCompared,
  addMoments,
  bucketOf,
  compare,
  emptyReport,
  momentsOf,
  type Output,
} from '#core/models/rollout/rollout.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { Report, RolloutPlan } from '#schemas/rollout.ts'
import type { EdgeDeps } from '../deps.ts'
import { ask } from '../functions-client.ts'

type Needs = Pick<EdgeDeps, 'functions' | 'signer' | 'clock' | 'background'>

const TELL_MS = 1_000
/** Answers of a version that are read for their values, between two tellings. */
const READ_MAX = 50

type Plan = RolloutPlan<Servable>
type Which = 'stable' | 'candidate'
type Following = { tenantId: TenantId; model: string; seen: Report; read: Record<Which, number> }

export class RolloutFollower {
  readonly #deps: Needs
  readonly #onEnded: (tenantId: TenantId, model: string) => void
  readonly #following = new Map<Plan['id'], Following>()

  constructor(deps: Needs, onEnded: (tenantId: TenantId, model: string) => void) {
    this.#deps = deps
    this.#onEnded = onEnded
  }

  answered(
    tenantId: TenantId,
    plan: Plan,
    which: Which,
    { reply, ms }: { reply: InferenceReply; ms: number },
  ): void {
    // An answer that was kept says nothing of the version that runs.
    if (reply.ageS !== undefined) return
    const following = this.#of(tenantId, plan)
    const side = following.seen[which]
    side.requests++
    side.compute_us += reply.computeUs
    const bucket = bucketOf(ms)
    while (side.latency.length <= bucket) side.latency.push(0)
    side.latency[bucket]!++
    if (following.read[which]++ >= READ_MAX) return
    for (const output of readable(reply)) {
      const moments = momentsOf(output)
      const known = side.outputs[output.name]
      side.outputs[output.name] = known ? addMoments(known, moments) : moments
    }
  }

  failed(tenantId: TenantId, plan: Plan, which: Which): void {
    const side = this.#of(tenantId, plan).seen[which]
    side.requests++
    side.errors++
  }

  skipped(tenantId: TenantId, plan: Plan): void {
    this.#of(tenantId, plan).seen.skipped++
  }

  compared(tenantId: TenantId, plan: Plan, stable: InferenceReply, candidate: InferenceReply) {
    const { seen } = this.#of(tenantId, plan)
    const [a, b] = [readable(stable), readable(candidate)]
    if (a.length === 0) return
    const found = compare(a, b, plan.candidate.signature, plan.tolerance)
    seen.compared = addCompared(seen.compared, found)
  }

  #of(tenantId: TenantId, { id, candidate }: Plan): Following {
    const known = this.#following.get(id)
    if (known) return known
    const { model } = candidate
    const following = { tenantId, model, seen: emptyReport(), read: { stable: 0, candidate: 0 } }
    this.#following.set(id, following)
    const due = new Promise(resolve => setTimeout(resolve, TELL_MS))
    this.#deps.background(due.then(() => this.#tell(id)))
    return following
  }

  async #tell(id: Plan['id']): Promise<void> {
    const { tenantId, model, seen } = this.#following.get(id)!
    this.#following.delete(id)
    const told = { tenantId, id, seen }
    const { running } = await ask<{ running: boolean }>(
      this.#deps,
      '/internal/models/rollout-observed',
      told,
    )
    if (!running) this.#onEnded(tenantId, model)
  }
}

/** Answers of other protocols' forms have no tensors to be read. */
function readable(reply: InferenceReply): Output[] {
  try {
    return outputsOf(reply)
  } catch {
    return []
  }
}
