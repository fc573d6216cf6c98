/** Publishing: the files go up, the version is made of them, and then it is waited for. */
import type { Galley } from './client.ts'
import type { Manifest, Version } from './contract.generated.ts'
import { GalleyError } from './error.ts'
import { sleep } from './retry.ts'
import type { Source, UploadProgress } from './upload.ts'

/** By the path that the graph knows them by. */
export type PublishFiles = Record<string, Source>

export type PublishOptions = Omit<Manifest, 'files'> & {
  onProgress?: (progress: UploadProgress & { file: string }) => void
  signal?: AbortSignal
}

const POLL_MS = 300
const PUBLISH_TIMEOUT_MS = 300_000

/** The version, ready. Throws `invalid_model` with what is wrong with the file. */
export async function publish(
  galley: Galley,
  model: string,
  files: PublishFiles,
  options: PublishOptions = {},
): Promise<Version> {
  const { onProgress, signal, ...rest } = options
  const stored: Manifest['files'] = []
  for (const [path, source] of Object.entries(files)) {
    const report = onProgress && ((at: UploadProgress) => onProgress({ file: path, ...at }))
    stored.push({ path, ...(await galley.upload(source, { onProgress: report, signal })) })
  }
  const input = { params: { model }, body: { ...rest, files: stored } }
  let version = await galley.request('models.publish', input, {
    signal,
    timeoutMs: PUBLISH_TIMEOUT_MS,
  })
  while (version.state === 'validating') {
    await sleep(POLL_MS, signal)
    const params = { model, version: String(version.version) }
    version = await galley.request('models.version', { params }, { signal })
  }
  if (version.state === 'ready') return version
  const text = version.error ?? `Version ${version.version} is ${version.state}.`
  throw new GalleyError('invalid_model', text, { status: 422 })
}
