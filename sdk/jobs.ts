/** Jobs: create, wait, and the result as a stream that survives broken connections. */
import type { Galley } from './client.ts'
import type { InferenceBody, Job, TrainingSetBody } from './contract.generated.ts'
import { GalleyError } from './error.ts'
import { sleep, TRIES_MAX, waitBeforeRetry } from './retry.ts'
import { type CallOptions, networkError } from './transport.ts'
import type { Source, UploadProgress } from './upload.ts'

type Rows = {
  rows: Source
  format: 'jsonl' | 'parquet'
  onUpload?: (progress: UploadProgress) => void
}
export type JobInput = Omit<InferenceBody, 'input' | 'kind'> & Rows
/** `rows` is the spine: labels with their times and the keys of entities. */
export type TrainingSetInput = Omit<TrainingSetBody, 'spine' | 'kind'> & Rows
export type WaitOptions = { onProgress?: (job: Job) => void; signal?: AbortSignal }

const POLL_MS_MIN = 100
const POLL_MS_MAX = 2_000
const ENDED = ['done', 'failed', 'canceled', 'expired']

export async function createJob(
  galley: Galley,
  { rows, format, onUpload, ...rest }: JobInput,
  signal?: AbortSignal,
): Promise<Job> {
  const { sha256 } = await galley.upload(rows, { onProgress: onUpload, signal })
  const body = { ...rest, input: { sha256, format } }
  return galley.request('jobs.create', { body }, { signal })
}

export async function createTrainingSet(
  galley: Galley,
  { rows, format, onUpload, ...rest }: TrainingSetInput,
  signal?: AbortSignal,
): Promise<Job> {
  const { sha256 } = await galley.upload(rows, { onProgress: onUpload, signal })
  const body = { kind: 'training_set' as const, ...rest, spine: { sha256, format } }
  return galley.request('jobs.create', { body }, { signal })
}

export async function runJob(
  galley: Galley,
  input: JobInput | TrainingSetInput,
  options: WaitOptions = {},
) {
  const created = await ('service' in input
    ? createTrainingSet(galley, input, options.signal)
    : createJob(galley, input, options.signal))
  const job = await waitForJob(galley, created.id, options)
  if (job.state === 'done') return job
  const why = job.error ? `: ${job.error.detail}` : '.'
  throw new GalleyError('job_not_done', `The job ${job.id} is ${job.state}${why}`)
}

/** Asks often at first, for the job that is done in a moment, and then ever less. */
export async function waitForJob(
  galley: Galley,
  jobId: string,
  { onProgress, signal }: WaitOptions = {},
): Promise<Job> {
  for (let waitMs = POLL_MS_MIN; ; waitMs = Math.min(POLL_MS_MAX, waitMs * 1.3)) {
    const job = await galley.request('jobs.get', { params: { job_id: jobId } }, { signal })
    onProgress?.(job)
    if (ENDED.includes(job.state)) return job
    await sleep(waitMs, signal)
  }
}

/** Throws `digest_mismatch` where the result is another one after a break than before. */
export async function* resultChunks(
  galley: Galley,
  jobId: string,
  { signal, timeoutMs }: CallOptions = {},
): AsyncGenerator<Uint8Array, void> {
  const input = { params: { job_id: jobId } }
  let at = 0
  let etag: string | null = null
  for (let tries = 1; ; ) {
    const headers: Record<string, string> = at > 0 ? { range: `bytes=${at}-` } : {}
    const options = { headers, signal, timeoutMs }
    const response = await galley.send('jobs.results', input, options, reply => reply)
    etag ??= response.headers.get('etag')
    if (at > 0 && (response.status !== 206 || response.headers.get('etag') !== etag)) {
      throw new GalleyError(
        'digest_mismatch',
        'The result changed while it was read; read it again.',
      )
    }
    const size = at + Number(response.headers.get('content-length'))
    try {
      for await (const chunk of response.body ?? []) {
        at += chunk.length
        tries = 1
        yield chunk
      }
      return
    } catch (cause) {
      signal?.throwIfAborted()
      if (at === size) return
      const error = networkError(galley.connection.baseUrl, cause)
      const retry = { tries: tries++, repeatable: true, random: galley.connection.random }
      const waitMs = waitBeforeRetry(error, retry)
      if (waitMs === null || tries > TRIES_MAX) throw error
      await sleep(waitMs, signal)
    }
  }
}
