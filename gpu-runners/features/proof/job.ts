/** The step of a proof on a runner: the log as it was, the proof, and what it found as lines of JSON. */
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as blobKeys from '#core/blob-keys.ts'
import type { proofs } from '#core/features/features.ts'
import type { SetDeps } from '../job.ts'
import { logOf } from '../log-files.ts'
import type { Progress, Proven } from '../messages.ts'
import { inProcess } from '../process.ts'

/** Rejects with the signal's reason when aborted, and with an AppError otherwise. */
export async function proveView(
  deps: SetDeps,
  assignment: proofs.Assignment,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<proofs.Outcome> {
  const { tenantId, runId, epoch, spec, plan: view } = assignment
  const folder = await mkdtemp(join(deps.scratch, 'log-'))
  try {
    const { asOf, logPosition: to, questions } = spec
    const wanted = { tenantId, type: view.eventType, asOf, to, folder, prefix: 'log' }
    const { sql: log, files } = await logOf(deps, wanted, signal)
    const work = { task: 'proof' as const, view, log, asOf, questions }
    const key = blobKeys.result(tenantId, runId, epoch)
    const store = async ({ found, mismatches, spentUs }: Proven) => {
      signal.throwIfAborted()
      const lines = mismatches.map(mismatch => `${JSON.stringify(mismatch)}\n`).join('')
      const { size, sha256 } = await deps.blobs.put(key, new TextEncoder().encode(lines))
      return { kind: 'prove' as const, key, size, sha256, computeUs: spentUs, found }
    }
    return await inProcess(deps.scratch, { work, files }, signal, store, { onProgress })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
