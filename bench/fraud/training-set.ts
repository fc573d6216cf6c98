/** A training set by a job: questions go up as lines of JSON, the answers come back as Parquet. */
import type { Galley } from '#sdk/client.ts'
import { saveResults } from '#sdk/node.ts'

export type Questions = {
  service: string
  /** With `timestamp`, the keys of entities, the fields of a request, and what is to stand beside. */
  questions: Iterable<Record<string, unknown>>
  mode: 'as_served' | 'as_corrected'
}

/** Writes the features of a service, as they were at the time of each question, to `path`. */
export async function makeTrainingSet(
  galley: Galley,
  { service, questions, mode }: Questions,
  path: string,
): Promise<{ rows: number; seconds: number }> {
  const began = performance.now()
  const lines = Array.from(questions, question => `${JSON.stringify(question)}\n`)
  const rows = new TextEncoder().encode(lines.join(''))
  const job = await galley.jobs.run({ service, mode, format: 'jsonl', rows })
  await saveResults(galley, job.id, path)
  return { rows: job.rows_done, seconds: (performance.now() - began) / 1_000 }
}
