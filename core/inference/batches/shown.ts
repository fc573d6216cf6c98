/** A batch as OpenAI's clients read it. */
import type { Run } from '#core/jobs/jobs.ts'
import type { BatchFound, BatchSpec } from '#schemas/tables/jobs.ts'

/** OpenAI's only window: what is not done by then is given up. */
export const WINDOW_S = 86_400
const ENDED = {
  done: 'completed',
  failed: 'failed',
  canceled: 'cancelled',
  expired: 'expired',
} as const

export function shown(run: Run) {
  const spec = run.spec as BatchSpec
  const found = (run.lineage as BatchFound | null) ?? {}
  const status = statusOf(run, spec, found)
  const endedAt = seconds(run.endedAt?.getTime())
  const whenEnded = (as: string) => (status === as ? endedAt : null)
  const { rowsTotal, rowsDone, rowsFailed } = run
  const isCanceling = found.windingDown?.as === 'canceled'
  return {
    id: run.id,
    object: 'batch' as const,
    endpoint: spec.endpoint,
    model: spec.model ?? null,
    errors: errorsOf(run, found),
    input_file_id: spec.requests.file,
    completion_window: '24h',
    status,
    output_file_id: found.outputFile ?? null,
    error_file_id: found.errorFile ?? null,
    created_at: seconds(run.createdAt.getTime())!,
    in_progress_at: seconds(found.inProgressAt),
    expires_at: seconds(run.createdAt.getTime() + WINDOW_S * 1_000),
    finalizing_at: seconds(found.finalizingAt ?? found.windingDown?.at),
    completed_at: whenEnded('completed'),
    failed_at: whenEnded('failed'),
    expired_at: whenEnded('expired'),
    cancelling_at: isCanceling ? seconds(found.windingDown!.at) : whenEnded('cancelled'),
    cancelled_at: whenEnded('cancelled'),
    request_counts: { total: rowsTotal ?? 0, completed: rowsDone - rowsFailed, failed: rowsFailed },
    metadata: spec.metadata,
  }
}

function statusOf({ state, stepsLeft }: Run, { digest }: BatchSpec, found: BatchFound) {
  if (state in ENDED) return ENDED[state as keyof typeof ENDED]
  if (found.windingDown) return found.windingDown.as === 'canceled' ? 'cancelling' : 'finalizing'
  if (digest === undefined) return 'validating'
  return stepsLeft === 0 ? 'finalizing' : 'in_progress'
}

function errorsOf({ state, error }: Run, { errors }: BatchFound) {
  if (errors) return { object: 'list' as const, data: errors }
  if (state !== 'failed' || !error) return null
  const { code, detail: message } = error
  return { object: 'list' as const, data: [{ code, message, line: null, param: null }] }
}

function seconds(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.floor(ms / 1_000)
}
