/** Creating a job: the rows go up, the job is made of them, and may be waited for. */
import { stat } from 'node:fs/promises'
import { dirname, extname, resolve } from 'node:path'
import type { Galley, Job } from '../../client.ts'
import { createJob } from '../../jobs.ts'
import { saveResults, withFile } from '../../node.ts'
import { type Context, command, modelRef, type Output, UsageError } from '../command.ts'
import { seconds } from '../format.ts'
import { ofUpload, progress } from '../progress.ts'
import { ended, jobText, waited } from './jobs.ts'

const FORMATS: Record<string, 'jsonl' | 'parquet'> = {
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.parquet': 'parquet',
}

export const jobsCreate = command({
  words: 'jobs create',
  takes: ['<model[@version]>', '<file>'],
  summary: 'Upload a file and run a model over every row of it.',
  about: `A row of JSONL is an object with a value for each input; a Parquet file has a column for each.
An upload that was cut off goes on where it stopped when the command is given again.`,
  options: {
    format: { value: 'jsonl|parquet', help: "else by the file's ending" },
    expires: { value: 'time', help: 'give up when it is not done after this (7d)' },
    wait: { help: 'wait for the end; exit code 1 if it is not "done"' },
    output: { value: 'file', help: 'wait, then write the result there' },
  },
  examples: [
    'galley jobs create iris rows.jsonl --wait',
    'galley jobs create iris@champion rows.parquet --output scored.parquet',
    'galley jobs create iris rows.jsonl --json | jq -r .id',
  ],
  async run(context, [ref, path], options) {
    const { model, version } = modelRef(ref!)
    const format = formatOf(path!, options.format)
    const expires = options.expires ? seconds('--expires', options.expires) : undefined
    const galley = await context.galley()
    const wanted = version !== undefined && /^\d+$/.test(version) ? Number(version) : version
    const body = { model, version: wanted, format, expires_in_s: expires }
    await checkFolder(context, '--output', options.output)
    const job = await created(context, galley, path!, body)
    if (!options.wait && options.output === undefined) {
      const next = `Follow it with: galley jobs wait ${job.id}`
      return { json: job, text: `${jobText(context.terminal, job)}\n${next}` }
    }
    const end = await waited(context, galley, job.id)
    return finished(context, galley, end, options.output)
  },
})

type Body = {
  model: string
  version?: string | number
  format: 'jsonl' | 'parquet'
  expires_in_s?: number
}

async function created(
  { terminal, cwd, signal }: Context,
  galley: Galley,
  path: string,
  body: Body,
) {
  const bar = progress(terminal, 'upload', 'bytes')
  try {
    return await withFile(resolve(cwd, path), rows =>
      createJob(galley, { ...body, rows, onUpload: ofUpload(bar) }, signal),
    )
  } finally {
    bar.end()
  }
}

/** The job at its end, with its result in a file where one is wanted. */
export async function finished(
  context: Context,
  galley: Galley,
  job: Job,
  output: string | undefined,
): Promise<Output> {
  if (output === undefined || job.state !== 'done') return ended(context, job)
  const saved = await saveResults(galley, job.id, resolve(context.cwd, output), context)
  const { text, ...rest } = ended(context, job)
  return { ...rest, json: { ...job, saved }, text: `${text}\nThe result is in ${saved.path}.` }
}

/** That a result can be written, before anything is done for it. Throws UsageError. */
export async function checkFolder(
  { cwd }: Context,
  option: string,
  path: string | undefined,
): Promise<void> {
  if (path === undefined) return
  const file = resolve(cwd, path)
  const isFolder = (of: string) =>
    stat(of).then(
      found => found.isDirectory(),
      () => false,
    )
  if (!(await isFolder(dirname(file)))) {
    throw new UsageError(`There is no folder ${dirname(file)} for ${option}: make it first.`)
  }
  if (await isFolder(file)) throw new UsageError(`${file} is a folder; ${option} takes a file.`)
}

/** Of a file of rows, as it is given or by its ending. Throws UsageError. */
export function formatOf(path: string, given: string | undefined): 'jsonl' | 'parquet' {
  if (given === 'jsonl' || given === 'parquet') return given
  if (given !== undefined) throw new UsageError(`--format is jsonl or parquet, not "${given}".`)
  const format = FORMATS[extname(path).toLowerCase()]
  if (format) return format
  throw new UsageError(`Is "${path}" JSONL or Parquet? Add --format jsonl, or --format parquet.`)
}
