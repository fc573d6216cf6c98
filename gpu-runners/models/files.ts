/** A version's files under their own names, for an engine that reads a graph and what lies beside it. */
import { appendFile, chmod, copyFile, link, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as blobKeys from '#core/blob-keys.ts'
import type { Blobs, Servable } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { VECTOR_OUTPUT, withVector } from '#core/models/embedding.ts'
import { poolingNodes } from '#core/models/onnx/pooling.ts'
import type { ModelFiles as Loadable } from '#gpu-runners/engines/engine.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { Manifest } from '#schemas/tables/models.ts'
import type { RunSettings } from '#schemas/tuning.ts'

export type Borrowed = {
  graphPath: string
  /** Of a model that embeds texts. */
  tokenizerPath: string | null
  /** Takes the names away; a blob that was deleted meanwhile gives its space back then. */
  release(): Promise<void>
}
export type ModelFiles = { borrow(tenantId: TenantId, servable: Servable): Promise<Borrowed> }

/** Every borrower has a folder of its own, so that none takes the files from under another. */
export function openModelFiles(deps: { blobs: Blobs }, o: { folder: string }): ModelFiles {
  async function bringTogether(folder: string, tenantId: TenantId, servable: Servable) {
    const { manifest } = servable
    for (const file of manifest.files) {
      const target = join(folder, file.path)
      await mkdir(dirname(target), { recursive: true })
      const source = await localFile(tenantId, file)
      if (file.path === manifest.graph && servable.signature.embedding) {
        await withPooling(servable, source, target)
        continue
      }
      // A link costs nothing; another file system needs a copy.
      await link(source, target).catch(() => copyFile(source, target))
    }
  }

  async function localFile(tenantId: TenantId, { path, sha256 }: Manifest['files'][0]) {
    const key = blobKeys.file(tenantId, sha256)
    return deps.blobs.localFile(key).catch(cause => {
      if (!(cause instanceof AppError) || cause.code !== 'not_found') throw cause
      const gone = `The file "${path}" of this version is not in the store any more.`
      throw new AppError('invalid_model', { public: gone, internal: `no blob ${key}`, cause })
    })
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
      const { graph, embedding } = servable.manifest
      const tokenizerPath = embedding ? join(folder, embedding.tokenizer) : null
      return { graphPath: join(folder, graph), tokenizerPath, release }
    },
  }
}

/** The graph as it was published, and behind it the nodes that make vectors of its output. */
async function withPooling({ manifest, signature }: Servable, source: string, target: string) {
  const { pooling, normalize } = manifest.embedding!
  const { output: hidden } = signature.embedding!
  await copyFile(source, target)
  await chmod(target, 0o600)
  await appendFile(target, poolingNodes({ hidden, pooling, normalize, output: VECTOR_OUTPUT }))
}

/** What the engine is told of a version whose files lie here. */
export function loadable(tenantId: TenantId, servable: Servable, files: Borrowed): Loadable {
  const { digest, model } = servable
  const signature = withVector(servable.signature)
  const family = `${tenantId}/${model}`
  return { digest, graphPath: files.graphPath, signature, bytes: bytesOf(servable), family }
}

export function bytesOf({ manifest }: Servable): number {
  return manifest.files.reduce((sum, file) => sum + file.size, 0)
}

/** How the version runs best on this hardware; undefined where that was not measured on its like. */
export function settingsOn(hardware: string, { tuning }: Servable): RunSettings | undefined {
  return tuning?.hardware === hardware ? tuning : undefined
}
