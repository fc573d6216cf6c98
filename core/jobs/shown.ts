/** A job as its owner sees it. */
import type {
  BatchSpec,
  ImportSpec,
  InferenceSpec,
  ProofFound,
  ProofSpec,
  SkewFound,
  SkewSpec,
  TrainingSetLineage,
  TrainingSetSpec,
} from '#schemas/tables/jobs.ts'
import type { Run } from './runs.ts'

export function shown(run: Run) {
  return {
    id: run.id,
    state: run.state,
    ...aboutOf(run),
    rows_total: run.rowsTotal,
    rows_done: run.rowsDone,
    rows_failed: run.rowsFailed,
    progress: progressOf(run),
    result: run.resultKey
      ? { size: run.resultSize ?? 0, sha256: run.resultSha256, url: `/v1/jobs/${run.id}/results` }
      : null,
    error: run.error,
    created_at: run.createdAt.toISOString(),
    started_at: run.startedAt?.toISOString() ?? null,
    ended_at: run.endedAt?.toISOString() ?? null,
    expires_at: run.expiresAt!.toISOString(),
  }
}

function aboutOf({ spec, lineage }: Run) {
  if ('service' in spec) return trainingSet(spec, lineage as TrainingSetLineage | null)
  if ('view' in spec) return proof(spec, lineage as ProofFound | null)
  if ('reads' in spec) return skew(spec, lineage as SkewFound | null)
  if ('table' in spec) return imported(spec)
  if ('requests' in spec) return batch(spec)
  return inference(spec)
}

function imported({ table, tableVersion, input }: ImportSpec) {
  return { kind: 'import' as const, table, version: tableVersion, file: input }
}

function batch({ requests, model, version, digest }: BatchSpec) {
  const pinned = { model: model ?? null, version: version ?? null, digest: digest ?? null }
  return { kind: 'batch' as const, ...pinned, input_file_id: requests.file }
}

function inference({ model, version, digest, input }: InferenceSpec) {
  return { kind: 'inference' as const, model, version, digest, input }
}

function proof(spec: ProofSpec, found: ProofFound | null) {
  return {
    kind: 'proof' as const,
    view: spec.view,
    version: spec.viewVersion,
    hash: spec.viewHash,
    as_of: timeText(spec.asOf),
    log_position: spec.logPosition,
    proof: found,
  }
}

function skew({ asOf, logPosition }: SkewSpec, found: SkewFound | null) {
  const moment = { as_of: timeText(asOf), log_position: logPosition }
  return { kind: 'skew' as const, ...moment, skew: found }
}

function trainingSet(spec: TrainingSetSpec, lineage: TrainingSetLineage | null) {
  const log = Object.entries(lineage ?? {}).map(([type, read]) => {
    const { version, segments, segmentsSha256, openRows } = read
    return [type, { version, segments, segments_sha256: segmentsSha256, open_rows: openRows }]
  })
  return {
    kind: 'training_set' as const,
    service: spec.service,
    version: spec.serviceVersion,
    hash: spec.serviceHash,
    views: spec.views,
    spine: spec.input,
    mode: spec.mode,
    as_of: timeText(spec.asOf),
    log_position: spec.logPosition,
    statuses: spec.statuses,
    log: lineage && Object.fromEntries(log),
  }
}

/** To the microsecond: to be given again, it must be the very same. */
function timeText(micros: number): string {
  const ms = Math.floor(micros / 1_000)
  const rest = String(micros - ms * 1_000).padStart(3, '0')
  return `${new Date(ms).toISOString().slice(0, -1)}${rest}Z`
}

function progressOf(run: Run): number {
  if (run.state === 'done') return 1
  if (!run.rowsTotal) return 0
  return Math.min(0.999, run.rowsDone / run.rowsTotal)
}
