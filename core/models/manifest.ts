/** Manifests: which files make a version, checked against what is uploaded, and the digest over them. */
import type { Unit } from '#core/deps.ts'
import { AppError, type FieldError } from '#core/error.ts'
import { sha256Hex } from '#core/internal/signing.ts'
import type { Manifest } from '#schemas/tables/models.ts'
import * as uploads from './uploads.ts'

export type GivenManifest = Omit<Manifest, 'graph'> & { graph?: string }

/** The manifest with its graph named. Throws `invalid_body` with all that does not fit. */
export async function checked(unit: Unit, given: GivenManifest): Promise<Manifest> {
  const problems: FieldError[] = []
  const paths = given.files.map(file => file.path)
  const graph = given.graph ?? paths.find(path => path.endsWith('.onnx')) ?? paths[0]!
  if (!paths.includes(graph)) {
    problems.push({ pointer: '/graph', detail: `no file of the manifest has the path "${graph}"` })
  }
  const { tokenizer } = given.embedding ?? {}
  if (tokenizer !== undefined && !paths.includes(tokenizer)) {
    const detail = `no file of the manifest has the path "${tokenizer}"`
    problems.push({ pointer: '/embedding/tokenizer', detail })
  }
  for (const [index, file] of given.files.entries()) {
    const details = [
      paths.indexOf(file.path) !== index && `"${file.path}" is listed twice`,
      await misfit(unit, file),
    ]
    for (const detail of details) if (detail) problems.push({ pointer: `/files/${index}`, detail })
  }
  if (problems.length > 0) {
    throw new AppError('invalid_body', {
      public: `The manifest does not fit what is uploaded: ${problems[0]!.detail}.`,
      errors: problems,
    })
  }
  return { ...given, graph }
}

/** SHA-256 over the manifest with its keys sorted: however it was written, it has one digest. */
export function digestOf(manifest: Manifest): Promise<string> {
  const sorted = JSON.stringify(manifest, (_, inner) =>
    inner && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
  return sha256Hex(sorted)
}

async function misfit(unit: Unit, file: Manifest['files'][number]): Promise<string | null> {
  const stored = await uploads.fileOf(unit, file.sha256)
  if (!stored) return `upload "${file.path}" first: no file has this digest`
  if (stored.size === file.size) return null
  return `"${file.path}" has ${stored.size} bytes, not ${file.size}`
}
