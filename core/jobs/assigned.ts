/** What a runner is told of each step that it holds. What is to be done stands beside it, and is the feature's. */
import type { RunId, StepId, TenantId } from '#schemas/ids.ts'
import type { StepKind } from '#schemas/tables/jobs.ts'
import type { Leased } from './leases.ts'

export type Assigned<Kind extends StepKind> = {
  status: 'leased'
  tenantId: TenantId
  runId: RunId
  stepId: StepId
  epoch: number
  kind: Kind
  number: number
}

export function assigned<Kind extends StepKind>({ epoch, step, run }: Leased): Assigned<Kind> {
  return {
    status: 'leased',
    tenantId: run.tenantId,
    runId: run.id,
    stepId: step.id,
    epoch,
    kind: step.kind as Kind,
    number: step.number,
  }
}
