/** A view, proven on the tenant's own log: both ways of computing it, compared to the bit. */
import { command, UsageError } from '../../command.ts'
import { jobText, waited } from '../jobs.ts'

export const prove = command({
  words: 'features prove',
  takes: ['<view[@version]>'],
  summary:
    'Compute a view from your log in both ways and compare the bits; exit code 1 if any differ.',
  about: `What serves and what makes training sets are asked about the moments of your entities at which answers change.
A mismatch is shown with as few events of its entity as still make it.`,
  options: { questions: { value: 'number', help: 'at most so many moments (20000)' } },
  examples: [
    'galley features prove velocity',
    'galley features prove velocity@2 --questions 200000',
  ],
  async run(context, [ref], { questions }) {
    const [, view, version] = /^([^@]+)(?:@([1-9]\d{0,8}))?$/.exec(ref!) ?? []
    if (view === undefined)
      throw new UsageError(`"${ref}" is no view; write velocity or velocity@2.`)
    if (questions !== undefined && !/^[1-9]\d{0,6}$/.test(questions)) {
      throw new UsageError(`--questions is a number from 1 to 1000000, not "${questions}".`)
    }
    const galley = await context.galley()
    const body = {
      kind: 'proof' as const,
      view,
      ...(version !== undefined && { version: Number(version) }),
      ...(questions !== undefined && { questions: Number(questions) }),
    }
    const created = await galley.request('jobs.create', { body }, { signal: context.signal })
    const job = await waited(context, galley, created.id)
    const text = jobText(context.terminal, job)
    if (job.state !== 'done' || job.kind !== 'proof') {
      return { json: job, text, failure: `The proof is ${job.state}: ${job.error?.detail ?? ''}` }
    }
    const { mismatches } = job.proof!
    if (mismatches === 0) return { json: job, text }
    const found: Uint8Array[] = []
    for await (const chunk of galley.jobs.results(job.id, { signal: context.signal })) {
      found.push(chunk)
    }
    const lines = Buffer.concat(found).toString().trimEnd()
    const failure = `${mismatches} values differ between what serves and what makes training sets.`
    return {
      json: { ...job, mismatches: lines.split('\n').map(line => JSON.parse(line)) },
      text: `${text}\n${lines}`,
      failure,
    }
  },
})
