/** A version's files under their own names, for an engine that reads a graph and what lies beside it. */
import { copyFile, link, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as blobKeys from '#core/blob-keys.ts'
import type { Blobs, Servable } from '#core/deps.ts'
import type { ModelFiles as Loadable } from '#gpu-runners/engines/engine.ts'
import type { TenantId } from '#schemas/ids.ts'

export type Borrowed = {
  graphPath: string
  /** Takes the names away; a blob that was deleted meanwhile gives its space back then. */
  release(): Promise<void>
}
export type ModelFiles = { borrow(tenantId: TenantId, servable: Servable): Promise<Borrowed> }

/** Every borrower has a folder of its own, so that none takes the files from under another. */
export function openModelFiles(deps: { blobs: Blobs }, o: { folder: string }): ModelFiles {
  async function bringTogether(folder: string, tenantId: TenantId, { manifest }: Servable) {
    for (const file of manifest.files) {
      const target = join(folder, file.path)
      await mkdir(dirname(target), { recursive: true })
      const source = await deps.blobs.localFile(blobKeys.file(tenantId, file.sha256))
      // A link costs nothing; another file system needs a copy.
      await link(source, target).catch(() => copyFile(source, target))
    }
  }

  return {
    async borrow(tenantId, servable) {
      await mkdir(o.folder, { recursive: true })
      const folder = await mkdtemp(join(o.folder, `${servable.digest.slice(0, 12)}-`))
      const release = () => rm(folder, { recursive: true, force: true })
      try {
        await bringTogether(folder, tenantId, servable)
      } catch (error) {
        await release()
        throw error
      }
      return { graphPath: join(folder, servable.manifest.graph), release }
    },
  }
}

/** What the engine is told of a version whose files lie here. */
export function loadable(tenantId: TenantId, servable: Servable, files: Borrowed): Loadable {
  const { digest, signature, model } = servable
  const family = `${tenantId}/${model}`
  return { digest, graphPath: files.graphPath, signature, bytes: bytesOf(servable), family }
}

export function bytesOf({ manifest }: Servable): number {
  return manifest.files.reduce((sum, file) => sum + file.size, 0)
}
