/** A training set: labels go up, and come back with the features that reads at their times would have had. */
import { resolve } from 'node:path'
import type { Job } from '../../../client.ts'
import { createTrainingSet, type TrainingSetInput } from '../../../jobs.ts'
import { withFile } from '../../../node.ts'
import { type Context, command, UsageError } from '../../command.ts'
import { seconds, timestamp } from '../../format.ts'
import { ofUpload, progress } from '../../progress.ts'
import { jobText, waited } from '../jobs.ts'
import { checkFolder, finished, formatOf } from '../jobs-create.ts'

export const trainingSet = command({
  words: 'features training-set',
  takes: ['<service[@version]>'],
  summary: 'Make a training set: labels with the features of their time, as Parquet.',
  about: `The spine is JSONL or Parquet with a row for each label: "timestamp", the keys of the service's entities, the
fields that come with a request, and whatever else is to stand beside the values. With --out the command
waits for the set. The same labels with the same --as-of and --log-position give the same bytes.`,
  options: {
    spine: { value: 'file', help: 'the labels' },
    out: { value: 'file', help: 'wait, then write the set there' },
    format: { value: 'jsonl|parquet', help: "of the spine; else by the file's ending" },
    mode: { value: 'as_served|as_corrected', help: 'what was known then (as_served), or is now' },
    'as-of': { value: 'time', help: 'without what became known later (now)' },
    'log-position': { value: 'number', help: 'without what came into the log later (now)' },
    statuses: { help: 'add a column <name>__status for each feature' },
    expires: { value: 'time', help: 'give up when it is not done after this (7d)' },
  },
  examples: [
    'galley features training-set fraud --spine labels.parquet --out train.parquet',
    'galley features training-set fraud@3 --spine labels.jsonl --mode as_corrected --out train.parquet',
    'galley features training-set fraud --spine labels.parquet --as-of 2026-11-01T00:00:00Z --json',
  ],
  async run(context, [ref], options) {
    const { spine } = options
    if (spine === undefined) throw new UsageError('Which labels? Add --spine <file>.')
    const input: Omit<TrainingSetInput, 'rows'> = {
      ...serviceRef(ref!),
      format: formatOf(spine, options.format),
      mode: modeOf(options.mode),
      as_of: momentOf(options['as-of']),
      log_position: positionOf(options['log-position']),
      statuses: options.statuses,
      expires_in_s: options.expires ? seconds('--expires', options.expires) : undefined,
    }
    await checkFolder(context, '--out', options.out)
    const job = await created(context, spine, input)
    if (options.out === undefined) {
      const next = `Follow it with: galley jobs wait ${job.id}`
      return { json: job, text: `${jobText(context.terminal, job)}\n${next}` }
    }
    const galley = await context.galley()
    return finished(context, galley, await waited(context, galley, job.id), options.out)
  },
})

async function created(
  context: Context,
  path: string,
  input: Omit<TrainingSetInput, 'rows'>,
): Promise<Job> {
  const { terminal, cwd, signal } = context
  const galley = await context.galley()
  const bar = progress(terminal, 'upload', 'bytes')
  const onUpload = ofUpload(bar)
  try {
    return await withFile(resolve(cwd, path), rows =>
      createTrainingSet(galley, { ...input, rows, onUpload }, signal),
    )
  } finally {
    bar.end()
  }
}

function serviceRef(text: string): { service: string; version?: number } {
  const [, service, version] = /^([^@]+)(?:@([1-9]\d{0,8}))?$/.exec(text) ?? []
  if (service === undefined) {
    throw new UsageError(`"${text}" is no feature service; write fraud, or fraud@3.`)
  }
  return { service, ...(version !== undefined && { version: Number(version) }) }
}

function modeOf(given: string | undefined): 'as_served' | 'as_corrected' | undefined {
  if (given === undefined || given === 'as_served' || given === 'as_corrected') return given
  throw new UsageError(`--mode is as_served or as_corrected, not "${given}".`)
}

/** As it is given where it is whole: to the microsecond, which a set is made again by. */
function momentOf(given: string | undefined): string | undefined {
  if (given === undefined) return undefined
  const moment = timestamp('--as-of', given)
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/.test(given) ? given : moment
}

function positionOf(given: string | undefined): number | undefined {
  if (given === undefined) return undefined
  if (/^\d{1,15}$/.test(given)) return Number(given)
  throw new UsageError(`--log-position is a number such as a job shows, not "${given}".`)
}
