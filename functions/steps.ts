/** What runners ask about steps: each kind of run has its own assignment and its own end. */
import * as features from '#core/features/features.ts'
import * as batches from '#core/inference/batches/batches.ts'
import * as bulk from '#core/inference/bulk.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as training from '#core/training/training.ts'
import type { StepId } from '#schemas/ids.ts'
import type { FunctionsDeps } from './deps.ts'
import { inTenant, type OfTenant } from './in-tenant.ts'

export function leaseStep(
  deps: FunctionsDeps,
  input: OfTenant<Parameters<typeof jobs.leases.lease>[1]>,
) {
  return inTenant(deps, input, async unit => {
    const reply = await jobs.leases.lease(unit, input)
    if (reply.status !== 'leased') return reply
    const { kind } = reply.run
    if (kind === 'training_set') return training.sets.assignment(unit, reply)
    if (kind === 'proof') return features.proofs.assignment(unit, reply)
    if (kind === 'skew') return features.checks.assignment(unit, reply)
    if (kind === 'import') return features.tables.assignment(unit, reply)
    if (kind === 'batch') return batches.assignment(unit, reply)
    return bulk.assignment(unit, reply)
  })
}

export function heartbeat(
  deps: FunctionsDeps,
  input: OfTenant<Parameters<typeof jobs.leases.heartbeat>[1]>,
) {
  return inTenant(deps, input, unit => jobs.leases.heartbeat(unit, input))
}

type Finished = {
  stepId: StepId
  epoch: number
  outcome:
    | batches.Outcome
    | bulk.Outcome
    | training.sets.Outcome
    | features.proofs.Outcome
    | features.checks.Outcome
    | features.tables.Outcome
}

export function finishStep(deps: FunctionsDeps, input: OfTenant<Finished>) {
  const { stepId, epoch, outcome } = input
  return inTenant(deps, input, unit => {
    if (outcome.kind === 'make') return training.sets.finish(unit, { stepId, epoch, outcome })
    if (outcome.kind === 'prove') return features.proofs.finish(unit, { stepId, epoch, outcome })
    if (outcome.kind === 'check') return features.checks.finish(unit, { stepId, epoch, outcome })
    if (outcome.kind === 'import') {
      return features.tables.finish(unit, { stepId, epoch, outcome })
    }
    if (isOfBatch(outcome)) return batches.finish(unit, { stepId, epoch, outcome })
    return bulk.finish(unit, { stepId, epoch, outcome })
  })
}

function isOfBatch(outcome: Finished['outcome']): outcome is batches.Outcome {
  return outcome.kind.startsWith('batch_')
}

export async function failStep(deps: FunctionsDeps, input: OfTenant<jobs.leases.Failure>) {
  await inTenant(deps, input, unit => jobs.leases.fail(unit, input))
}
