/** The skew meter: whether reads that were answered are what training would see. */
import type { Reply } from '../../../client.ts'
import { command } from '../../command.ts'
import { count, time } from '../../format.ts'
import { table } from '../../table.ts'
import { waited } from '../jobs.ts'

type View = Reply<'features.skew'>['views'][number]

export const skew = command({
  words: 'features skew',
  summary: 'Show whether reads that were sampled agree with the log; exit code 1 if any does not.',
  about: `Of each tenant about one read a second is kept for a week, and computed again from the log every hour, as a
training set would. With --now what is waiting is computed at once.`,
  options: { now: { help: 'check what is waiting, then show' } },
  examples: ['galley features skew', 'galley features skew --now --json'],
  async run(context, _args, options) {
    const { terminal, signal } = context
    const galley = await context.galley()
    if (options.now) {
      const job = await galley.request('jobs.create', { body: { kind: 'skew' } }, { signal })
      const end = await waited(context, galley, job.id)
      if (end.state !== 'done') {
        const failure = `The check is ${end.state}: ${end.error?.detail ?? 'no reason was given'}`
        return { json: end, text: '', failure }
      }
    }
    const found = await galley.request('features.skew', {}, { signal })
    if (found.views.length === 0) {
      return { json: found, text: 'No read was sampled yet. Read some features, then ask again.' }
    }
    const columns = [
      { title: 'VIEW', of: (row: View) => `${row.view}@${row.version}` },
      { title: 'SAMPLED', right: true, of: (row: View) => count(row.sampled) },
      { title: 'CHECKED', right: true, of: (row: View) => count(row.checked) },
      { title: 'DIFFERENT', right: true, of: (row: View) => count(row.mismatches) },
      {
        title: 'LAST CHECK',
        of: (row: View) => (row.last_checked_at === null ? '-' : time(row.last_checked_at)),
      },
    ]
    const lines = found.mismatches.map(each => JSON.stringify(each))
    const text = [table(terminal, columns, found.views), ...lines].join('\n')
    const wrong = found.views.reduce((sum, { mismatches }) => sum + mismatches, 0)
    if (wrong === 0) return { json: found, text }
    return { json: found, text, failure: `${wrong} reads differ from what training would see.` }
  },
})
