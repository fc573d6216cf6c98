/** What the edge asks on the way of a switch: what is to be warm, and afterwards what became of it. */
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import * as models from '#core/models/models.ts'
import type { RolloutId, SwitchId, TenantId } from '#schemas/ids.ts'
import type { Report } from '#schemas/rollout.ts'
import type { FunctionsDeps } from '../deps.ts'

type Planning = { call: Call; change: models.aliases.Change }
type Refused = { call: Call } & Parameters<typeof models.aliases.refuse>[2]
type Observed = { tenantId: TenantId; id: SwitchId; seen: models.switches.Seen }
type Followed = { tenantId: TenantId; id: RolloutId; seen: Report }

export function plannedSwitch(deps: FunctionsDeps, { call, change }: Planning) {
  return inTenant(deps, call.caller.tenantId, unit => models.aliases.planned(unit, change))
}

export function refusedSwitch(deps: FunctionsDeps, { call, ...input }: Refused) {
  return inTenant(deps, call.caller.tenantId, unit => models.aliases.refuse(unit, call, input))
}

export function observedSwitch(deps: FunctionsDeps, { tenantId, id, seen }: Observed) {
  return inTenant(deps, tenantId, unit => models.switches.observed(unit, id, seen))
}

export async function observedRollout(deps: FunctionsDeps, { tenantId, ...input }: Followed) {
  const observe = (unit: Unit) => models.rollouts.observe(unit, tenantId, input)
  return { running: await inTenant(deps, tenantId, observe) }
}

function inTenant<T>(deps: FunctionsDeps, tenantId: TenantId, work: (unit: Unit) => Promise<T>) {
  return deps.db.tenant(tenantId, tx => work({ tx, clock: deps.clock }))
}
