/** Models that this runner holds in memory: loaded when first asked for, the least used given back. */
import type { Clock, Log, Servable } from '#core/deps.ts'
import { type Batcher, createBatcher } from '#gpu-runners/batcher/batcher.ts'
import type { Engine, LoadedModel } from '#gpu-runners/engines/engine.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { Borrowed, ModelFiles } from './files.ts'

/** Small models in shared processes: the bound keeps a flood of tenants from filling the memory. */
const RESIDENTS_MAX = 64

export type Resident = {
  model: LoadedModel
  batcher: Batcher
  usedAt: number
  files: Borrowed
  bytes: number
}

export type Residents = {
  /** The model if it is warm, without a promise. */
  warm(digest: string): Resident | undefined
  /** The model, loaded if need be. Throws what the engine says when it cannot. */
  get(tenantId: TenantId, servable: Servable): Promise<Resident>
}

type Deps = { engine: Engine; files: ModelFiles; clock: Clock; log: Log }
type Options = {
  /** Of all models' files together; a single larger model is still served. */
  bytesMax: number
  residentsMax?: number
  onChange(digests: string[]): void
}

export function openResidents(deps: Deps, o: Options): Residents {
  const { residentsMax = RESIDENTS_MAX } = o
  const residents = new Map<string, Resident>()
  const loading = new Map<string, Promise<Resident>>()

  async function load(tenantId: TenantId, servable: Servable): Promise<Resident> {
    const began = performance.now()
    const { digest } = servable
    const resident = await open(deps, tenantId, servable)
    residents.set(digest, resident)
    deps.log.info('runner.loaded', {
      model: servable.model,
      digest,
      ms: Math.round(performance.now() - began),
    })
    makeRoom(resident)
    o.onChange([...residents.keys()])
    return resident
  }

  function makeRoom(newest: Resident): void {
    let bytes = 0
    for (const resident of residents.values()) bytes += resident.bytes
    // What callers wait for stays: closed under them, they would be refused.
    const idle = [...residents]
      .filter(([, resident]) => resident !== newest && resident.batcher.queuedRows === 0)
      .sort(([, a], [, b]) => a.usedAt - b.usedAt)
    for (const [digest, resident] of idle) {
      if (residents.size <= residentsMax && bytes <= o.bytesMax) return
      residents.delete(digest)
      bytes -= resident.bytes
      void unload(digest, resident)
    }
  }

  async function unload(digest: string, { model, files }: Resident): Promise<void> {
    try {
      await model.close()
      await files.release()
      deps.log.info('runner.unloaded', { digest })
    } catch (error) {
      deps.log.error('runner.not_unloaded', { digest, error: String(error) })
    }
  }

  return {
    warm(digest) {
      const resident = residents.get(digest)
      if (resident) resident.usedAt = deps.clock.now()
      return resident
    },
    get(tenantId, servable) {
      const { digest } = servable
      const warm = residents.get(digest)
      if (warm) return Promise.resolve(warm)
      let load_ = loading.get(digest)
      if (!load_) {
        load_ = load(tenantId, servable).finally(() => loading.delete(digest))
        loading.set(digest, load_)
      }
      return load_
    },
  }
}

async function open(deps: Deps, tenantId: TenantId, servable: Servable): Promise<Resident> {
  const { engine, clock, log } = deps
  const { digest, signature, manifest } = servable
  const files = await deps.files.borrow(tenantId, servable)
  try {
    const model = await engine.load({ digest, graphPath: files.graphPath, signature })
    const batcher = createBatcher({
      model,
      signature,
      clock,
      onBatch: metrics => log.info('runner.batch', { digest: digest.slice(0, 12), ...metrics }),
    })
    const bytes = manifest.files.reduce((sum, file) => sum + file.size, 0)
    return { model, batcher, usedAt: clock.now(), files, bytes }
  } catch (error) {
    await files.release()
    throw error
  }
}
