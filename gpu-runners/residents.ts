/** Models that this runner holds in memory: loaded when first asked for, the least used given back. */
import { copyFile, link, mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as blobKeys from '#core/blob-keys.ts'
import type { Blobs, Clock, Log, Servable } from '#core/deps.ts'
import type { TenantId } from '#schemas/ids.ts'
import { type Batcher, createBatcher } from './batcher/batcher.ts'
import type { Engine, LoadedModel } from './engines/engine.ts'

/** Small models in shared processes: the bound keeps a flood of tenants from filling the memory. */
const RESIDENTS_MAX = 64

export type Resident = { model: LoadedModel; batcher: Batcher; usedAt: number }

export type Residents = {
  /** The model if it is warm, without a promise. */
  warm(digest: string): Resident | undefined
  /** The model, loaded if need be. Throws what the engine says when it cannot. */
  get(tenantId: TenantId, servable: Servable): Promise<Resident>
  /** The graph's path after its files were brought together. */
  graphPath(tenantId: TenantId, servable: Servable): Promise<string>
  digests(): string[]
  close(): Promise<void>
}

export function openResidents(
  deps: { engine: Engine; blobs: Blobs; clock: Clock; log: Log },
  o: { folder: string; onChange(digests: string[]): void },
): Residents {
  const residents = new Map<string, Resident>()
  const loading = new Map<string, Promise<Resident>>()

  async function graphPath(tenantId: TenantId, { digest, manifest }: Servable): Promise<string> {
    const folder = join(o.folder, digest)
    for (const file of manifest.files) {
      const target = join(folder, file.path)
      await mkdir(dirname(target), { recursive: true })
      const source = await deps.blobs.localFile(blobKeys.file(tenantId, file.sha256))
      // A link costs nothing; another file system needs a copy.
      await link(source, target).catch(error => {
        if (error.code !== 'EEXIST') return copyFile(source, target)
      })
    }
    return join(folder, manifest.graph)
  }

  async function load(tenantId: TenantId, servable: Servable): Promise<Resident> {
    const began = performance.now()
    const { digest, signature } = servable
    const path = await graphPath(tenantId, servable)
    const model = await deps.engine.load({ digest, graphPath: path, signature })
    const { clock, log } = deps
    const batcher = createBatcher({
      model,
      signature,
      clock,
      onBatch: metrics => log.info('runner.batch', { digest: digest.slice(0, 12), ...metrics }),
    })
    const resident = { model, batcher, usedAt: clock.now() }
    residents.set(digest, resident)
    log.info('runner.loaded', {
      model: servable.model,
      digest,
      ms: Math.round(performance.now() - began),
    })
    await evict()
    o.onChange([...residents.keys()])
    return resident
  }

  async function evict(): Promise<void> {
    while (residents.size > RESIDENTS_MAX) {
      const [digest, oldest] = [...residents].reduce((a, b) => (a[1].usedAt <= b[1].usedAt ? a : b))
      residents.delete(digest)
      await oldest.model.close()
      await rm(join(o.folder, digest), { recursive: true, force: true })
      deps.log.info('runner.unloaded', { digest })
    }
  }

  return {
    graphPath,
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
    digests: () => [...residents.keys()],
    async close() {
      await Promise.all([...residents.values()].map(resident => resident.model.close()))
    },
  }
}
