/** Jobs: their state, their end and their results. */
import { resolve } from 'node:path'
import type { Galley, Job } from '../../client.ts'
import { saveResults } from '../../node.ts'
import { type Command, type Context, command, type Output, UsageError } from '../command.ts'
import { bytes, count, time } from '../format.ts'
import { progress } from '../progress.ts'
import { fields } from '../table.ts'
import type { Terminal } from '../terminal.ts'
import { LIST_OPTIONS, listed } from './listing.ts'

const EXAMPLE = 'run_01k9zv4n8m5p7q2r3s6t8w9x0y'

const listing = command({
  words: 'jobs list',
  summary: 'List jobs, newest first.',
  options: LIST_OPTIONS,
  examples: ['galley jobs list', 'galley jobs list --all --json'],
  run: (context, _args, options) =>
    listed(context, options, {
      name: 'jobs.list',
      empty: 'No jobs yet. Create one with: galley jobs create <model> <file.jsonl>',
      columns: [
        { title: 'ID', of: job => job.id },
        { title: 'STATE', of: job => job.state },
        { title: 'KIND', of: job => job.kind.replace('_', ' ') },
        { title: 'OF', of: ofWhat },
        { title: 'DONE', right: true, of: job => `${Math.floor(job.progress * 100)} %` },
        {
          title: 'ROWS',
          right: true,
          of: job => (job.rows_total === null ? '?' : count(job.rows_total)),
        },
        { title: 'BAD', right: true, of: job => count(job.rows_failed) },
        { title: 'CREATED', of: job => time(job.created_at) },
      ],
    }),
})

const get = command({
  words: 'jobs get',
  takes: ['<id>'],
  summary: 'Show a job and its progress.',
  examples: [`galley jobs get ${EXAMPLE}`],
  async run({ galley, terminal, signal }, [id]) {
    const job = await (await galley()).request('jobs.get', { params: { job_id: id! } }, { signal })
    return { json: job, text: jobText(terminal, job) }
  },
})

const wait = command({
  words: 'jobs wait',
  takes: ['<id>'],
  summary: 'Wait until a job has ended; exit code 1 if it is not "done".',
  examples: [`galley jobs wait ${EXAMPLE} && galley jobs results ${EXAMPLE} --output scored.jsonl`],
  run: async (context, [id]) => ended(context, await waited(context, await context.galley(), id!)),
})

const cancel = command({
  words: 'jobs cancel',
  takes: ['<id>'],
  summary: 'Stop a job; the rows that are done stay billed.',
  examples: [`galley jobs cancel ${EXAMPLE}`],
  async run({ galley, terminal, signal }, [id]) {
    const input = { params: { job_id: id! } }
    const job = await (await galley()).request('jobs.cancel', input, { signal })
    return { json: job, text: jobText(terminal, job) }
  },
})

const results = command({
  words: 'jobs results',
  takes: ['<id>'],
  summary: 'The result of a job, in the order of its input.',
  about: 'On stdout, if no file is given. A row that failed has an "error" in place of outputs.',
  options: {
    output: { value: 'file', help: 'where to write it; replaced only when it is complete' },
  },
  examples: [
    `galley jobs results ${EXAMPLE} --output scored.jsonl`,
    `galley jobs results ${EXAMPLE} | head -3`,
  ],
  async run(context, [id], { output }) {
    const { terminal, signal, cwd } = context
    const galley = await context.galley()
    const job = await galley.request('jobs.get', { params: { job_id: id! } }, { signal })
    if (output !== undefined) {
      const saved = await save(context, galley, job, resolve(cwd, output))
      return { json: saved, text: `${bytes(saved.size)} in ${saved.path}.` }
    }
    const isParquet =
      job.kind === 'training_set' || (job.kind === 'inference' && job.input.format === 'parquet')
    if (terminal.isOutTty && isParquet) {
      throw new UsageError('Parquet is not for terminals: add --output <file>.')
    }
    for await (const chunk of galley.jobs.results(job.id, { signal })) await terminal.out(chunk)
    return undefined
  },
})

export const jobs: Command[] = [listing, get, wait, cancel, results]

async function save({ terminal, signal }: Context, galley: Galley, job: Job, path: string) {
  const bar = progress(terminal, 'results', 'bytes')
  const onProgress = (done: number) => bar.update(done, job.result?.size ?? null)
  try {
    return await saveResults(galley, job.id, path, { signal, onProgress })
  } finally {
    bar.end()
  }
}

/** The job at its end. Interrupted, the command stops waiting and the job goes on. */
export async function waited(context: Context, galley: Galley, id: string): Promise<Job> {
  const { terminal, signal } = context
  const bar = progress(terminal, 'rows', 'rows')
  const onProgress = (job: Job) => bar.update(job.rows_done, job.rows_total)
  try {
    return await galley.jobs.wait(id, { onProgress, signal })
  } catch (error) {
    bar.end()
    if (signal.aborted) terminal.err(`The job goes on; wait again with: galley jobs wait ${id}\n`)
    throw error
  } finally {
    bar.end()
  }
}

export function ended({ terminal }: Context, job: Job): Output {
  const text = jobText(terminal, job)
  if (job.state !== 'done') {
    const why = job.error ? `: ${job.error.detail} (${job.error.code})` : '.'
    return { json: job, text, failure: `The job ${ENDED[job.state] ?? `is ${job.state}`}${why}` }
  }
  return { json: job, text }
}

const ENDED: Partial<Record<Job['state'], string>> = {
  failed: 'has failed',
  canceled: 'was canceled',
  expired: 'has expired',
}

/** The model, service or view, with its version. */
function ofWhat(job: Job): string {
  if (job.kind === 'skew') return 'sampled reads'
  if (job.kind === 'import') return `${job.table}@${job.version}`
  if (job.kind === 'batch') return job.model === null ? '?' : `${job.model}@${job.version}`
  const { kind, version } = job
  const name = kind === 'inference' ? job.model : kind === 'proof' ? job.view : job.service
  return `${name}@${version}`
}

export function jobText(terminal: Terminal, job: Job): string {
  const total = job.rows_total === null ? '?' : count(job.rows_total)
  return fields(terminal, {
    job: job.id,
    state: job.state,
    ...aboutOf(job),
    [job.kind === 'proof' ? 'questions' : job.kind === 'skew' ? 'reads' : 'rows']:
      `${count(job.rows_done)} of ${total}`,
    bad: job.rows_failed > 0 ? `${count(job.rows_failed)} rows have an error` : undefined,
    result: job.result ? bytes(job.result.size) : undefined,
    sha256: job.result?.sha256 ?? undefined,
    error: job.error ? `${job.error.detail} (${job.error.code})` : undefined,
    created: time(job.created_at),
    ended: job.ended_at === null ? undefined : time(job.ended_at),
  })
}

function aboutOf(job: Job): Record<string, string | undefined> {
  const fileText = (file: { size: number; format: string }) => `${bytes(file.size)} ${file.format}`
  if (job.kind === 'inference') return { model: ofWhat(job), input: fileText(job.input) }
  if (job.kind === 'import') return { table: ofWhat(job), input: fileText(job.file) }
  if (job.kind === 'batch') return { model: ofWhat(job), requests: job.input_file_id }
  const moment = `${job.as_of}, log position ${job.log_position}`
  if (job.kind === 'training_set') {
    const mode = job.mode.replace('_', ' ')
    return { service: ofWhat(job), mode, 'as of': moment, input: fileText(job.spine) }
  }
  if (job.kind === 'skew') {
    const { skew } = job
    const text = skew && `${count(skew.checked)} checked, ${count(skew.mismatches)} mismatches`
    return { 'as of': moment, skew: text ?? undefined }
  }
  return {
    view: ofWhat(job),
    'as of': moment,
    proof: job.proof
      ? `${count(job.proof.values)} values of ${count(job.proof.entities)} entities, ${count(job.proof.mismatches)} mismatches`
      : undefined,
  }
}
