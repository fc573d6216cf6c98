/** The step of a check for skew: reads that were answered, computed again from the log. */
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { checks } from '#core/features/features.ts'
import type { SetDeps } from '../job.ts'
import { logOf, type TypeLog } from '../log-files.ts'
import { inProcess } from '../process.ts'

/** Rejects with the signal's reason when aborted, and with an AppError otherwise. */
export async function checkReads(
  deps: SetDeps,
  { tenantId, spec, views }: checks.Assignment,
  signal: AbortSignal,
): Promise<checks.Outcome> {
  const folder = await mkdtemp(join(deps.scratch, 'log-'))
  try {
    const logs = new Map<string, TypeLog>()
    for (const type of new Set(views.map(({ plan }) => plan.eventType))) {
      const { asOf, logPosition: to } = spec
      const wanted = { tenantId, type, asOf, to, folder, prefix: `log-${logs.size}` }
      logs.set(type, await logOf(deps, wanted, signal))
    }
    const asked = views.map(({ plan, reads }) => ({
      view: plan,
      log: logs.get(plan.eventType)!.sql,
      reads: reads.map(({ id, entityKey: key, at }) => ({ id, key, at })),
    }))
    const files = Object.assign({}, ...[...logs.values()].map(log => log.files))
    const work = { task: 'check' as const, checks: asked }
    return await inProcess(deps.scratch, { work, files }, signal, async ({ answers }) => ({
      kind: 'check' as const,
      answers,
    }))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
