/** What a schedule does every minute with the log: hours that are over become segments. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Call } from '#core/caller.ts'
import * as decisions from '#core/decisions/decisions.ts'
import { inFull } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import * as features from '#core/features/features.ts'
import * as inferences from '#core/inference/log/log.ts'
import type { FunctionsDeps } from './deps.ts'

type Deps = Pick<
  FunctionsDeps,
  'db' | 'blobs' | 'clock' | 'log' | 'features' | 'openSpool' | 'inferenceFiles'
>
type Begun = Deps & Pick<FunctionsDeps, 'afterReply'>

/** Who asks does not wait for longer. */
const BEGUN_MS_MAX = 2_000

/** Of every minute, and of every hour. */
const OFTEN = {
  seal: events.sealDue,
  seal_inferences: inferences.sealDue,
  erase: events.eraseDue,
  check: events.checkQuality,
}
const RARELY = {
  trim: events.trimLogs,
  expire_inferences: inferences.expireDue,
  skew: features.checks.startDue,
}

/** What was read of features names entities too, and could not be computed again without the events. */
const eraseBesides: events.EraseBesides = async (unit, eventKeys) => {
  await features.skew.forget(unit)
  return decisions.forget(unit, eventKeys)
}

function erasing(deps: Deps) {
  const eraseElsewhere: events.EraseElsewhere = (tenantId, who, held) =>
    inferences.erase(deps, tenantId, who, held)
  return { ...deps, eraseBesides, eraseElsewhere }
}

/** What there is to do in this minute, of whichever count; returns what of it failed, which the log has. */
export async function tendLog(deps: Deps, minute: number): Promise<string[]> {
  const failed: string[] = []
  const works = { ...OFTEN, ...(minute % 60 === 1 && RARELY) }
  for (const [name, work] of Object.entries(works)) {
    try {
      await work(erasing(deps))
    } catch (error) {
      deps.log.error('functions.log_not_tended', { work: name, error: inFull(error) })
      failed.push(name)
    }
  }
  return failed
}

/** An erasure begins while its request is answered; what that does not finish the schedule does. */
export async function begunErasure<T>(deps: Begun, { caller }: Call, stored: T): Promise<T> {
  if (!deps.afterReply) return stored
  const begun = events.eraseOf(erasing(deps), caller.tenantId).catch(error => {
    deps.log.error('events.not_erased', { tenant: caller.tenantId, error: inFull(error) })
  })
  deps.afterReply(begun)
  await Promise.race([begun, sleep(BEGUN_MS_MAX)])
  return stored
}
