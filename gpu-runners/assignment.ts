/** What the functions hand out with the lease of a step, and how its work ends: each kind of run has its own. */
import type { checks, proofs, tables } from '#core/features/features.ts'
import type * as batches from '#core/inference/batches/batches.ts'
import type * as bulk from '#core/inference/bulk.ts'
import type { TraceContext } from '#core/trace.ts'
import type { sets } from '#core/training/training.ts'

/** `trace`: of who asked for it, as its message has it. */
export type Assignment = (
  | batches.Assignment
  | bulk.Assignment
  | sets.Assignment
  | proofs.Assignment
  | checks.Assignment
  | tables.Assignment
) & { trace?: TraceContext }

export type Outcome =
  | batches.Outcome
  | bulk.Outcome
  | sets.Outcome
  | proofs.Outcome
  | checks.Outcome
  | tables.Outcome
