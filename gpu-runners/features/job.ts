/**
 * The step of a training set on a runner: the log as it was at the set's moment, in files; then the set;
 * then its bytes in a blob that is named by the lease's epoch. Whoever dies on the way leaves nothing that
 * counts, and whoever does it again makes the same bytes.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as blobKeys from '#core/blob-keys.ts'
import type { Log } from '#core/deps.ts'
import type { sets } from '#core/training/training.ts'
import { type LogDeps, logOf, type TypeLog } from './log-files.ts'
import type { Progress } from './messages.ts'
import { withTrainingSet } from './training-set.ts'

export type SetDeps = LogDeps & {
  log: Log
  /** A folder for temporary files. */
  scratch: string
}

/**
 * Does the step. Rejects with the signal's reason when aborted, and with an AppError otherwise: `invalid_body`
 * is the spine's fault.
 */
export async function makeSet(
  deps: SetDeps,
  assignment: sets.Assignment,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<sets.Outcome> {
  const { tenantId, runId, epoch, spec, plan, entities } = assignment
  const folder = await mkdtemp(join(deps.scratch, 'log-'))
  try {
    const logs = new Map<string, TypeLog>()
    for (const type of new Set(plan.views.map(({ eventType }) => eventType))) {
      const { asOf, logPosition: to } = spec
      const about = { tenantId, type, asOf, to, folder, prefix: `log-${logs.size}` }
      logs.set(type, await logOf(deps, about, signal))
    }
    const spine = `spine.${spec.input.format}`
    const files = Object.assign({}, ...[...logs.values()].map(log => log.files), {
      [spine]: await deps.blobs.localFile(blobKeys.file(tenantId, spec.input.sha256)),
    })
    const set = {
      service: plan,
      entities,
      logs: Object.fromEntries([...logs].map(([type, { sql }]) => [type, sql])),
      spine: { file: spine, format: spec.input.format },
      knowledge: { mode: spec.mode, asOf: spec.asOf },
      statuses: spec.statuses,
      files,
    }
    const key = blobKeys.result(tenantId, runId, epoch)
    const store = async ({ rows, spentUs, bytes }: Stored) => {
      signal.throwIfAborted()
      const { size, sha256 } = await deps.blobs.put(key, bytes)
      return { rows, computeUs: spentUs, size, sha256 }
    }
    const done = await withTrainingSet(deps.scratch, set, signal, store, { onProgress })
    const lineage = Object.fromEntries([...logs].map(([type, log]) => [type, log.read]))
    return { kind: 'make', key, ...done, lineage }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

type Stored = { rows: number; spentUs: number; bytes: AsyncIterable<Uint8Array> }
