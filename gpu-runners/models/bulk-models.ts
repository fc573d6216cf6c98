/**
 * Models for bulk work, in engine processes of their own so that it never stands in front of online
 * requests. A shard takes less time than a load: a model stays a while for the job's next shard, then
 * its process ends.
 */
import type { Log, Servable } from '#core/deps.ts'
import type { Engine, LoadedModel } from '#gpu-runners/engines/engine.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { Borrowed, ModelFiles } from './files.ts'

/** Longer than the pause between two shards of a job. */
const IDLE_MS = 10_000
/** Jobs that take turns on this runner; over it the one that rested longest goes at once. */
const IDLE_MAX = 2

type Kept = {
  loaded: Promise<{ model: LoadedModel; files: Borrowed }>
  users: number
  timer?: NodeJS.Timeout
}
export type BulkModels = {
  /** The model while `work` goes on; loaded if it is not there from the step before. */
  use<T>(
    tenantId: TenantId,
    servable: Servable,
    work: (model: LoadedModel) => Promise<T>,
  ): Promise<T>
}

export function openBulkModels(
  deps: { engine: Engine; files: ModelFiles; log: Log },
  { idleMs = IDLE_MS, idleMax = IDLE_MAX } = {},
): BulkModels {
  /** Those that rested longest come first. */
  const kept = new Map<string, Kept>()

  async function load(tenantId: TenantId, servable: Servable) {
    const files = await deps.files.borrow(tenantId, servable)
    const { digest, signature } = servable
    try {
      const given = { digest, graphPath: files.graphPath, signature }
      return { model: await deps.engine.load(given, { lane: 'bulk' }), files }
    } catch (error) {
      await files.release()
      throw error
    }
  }

  function take(tenantId: TenantId, servable: Servable): Kept {
    const { digest } = servable
    const known = kept.get(digest)
    const one = known ?? { loaded: load(tenantId, servable), users: 0 }
    one.users++
    clearTimeout(one.timer)
    kept.delete(digest)
    kept.set(digest, one)
    return one
  }

  function giveBack(digest: string, one: Kept): void {
    if (--one.users > 0 || kept.get(digest) !== one) return
    one.timer = setTimeout(drop, idleMs, digest, one).unref()
    const idle = [...kept].filter(([, { users }]) => users === 0)
    for (const [name, rested] of idle.slice(0, Math.max(0, idle.length - idleMax))) {
      drop(name, rested)
    }
  }

  function drop(digest: string, one: Kept): void {
    clearTimeout(one.timer)
    kept.delete(digest)
    one.loaded
      .then(async ({ model, files }) => {
        await model.close()
        await files.release()
      })
      .catch(error => deps.log.error('bulk.not_unloaded', { digest, error: String(error) }))
  }

  return {
    async use(tenantId, servable, work) {
      const { digest } = servable
      const one = take(tenantId, servable)
      try {
        const { model } = await one.loaded.catch(error => {
          // The next step tries anew.
          if (kept.get(digest) === one) kept.delete(digest)
          throw error
        })
        return await work(model)
      } finally {
        giveBack(digest, one)
      }
    },
  }
}
