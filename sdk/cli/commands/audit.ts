/** The audit log: who changed what. */
import { command } from '../command.ts'
import { pairs, time } from '../format.ts'
import { LIST_OPTIONS, listed } from './listing.ts'

export const audit = command({
  words: 'audit',
  summary: 'List who changed what, newest first.',
  options: LIST_OPTIONS,
  examples: ['galley audit', 'galley audit --limit 500 --json'],
  run: (context, _args, options) =>
    listed(context, options, {
      name: 'audit.list',
      empty: 'Nothing was changed yet.',
      columns: [
        { title: 'AT', of: entry => time(entry.at) },
        { title: 'ACTION', of: entry => entry.action },
        { title: 'TARGET', of: entry => entry.target },
        { title: 'BY', of: entry => entry.actor },
        { title: 'REQUEST', of: entry => entry.request_id },
        { title: 'DETAIL', of: entry => pairs(entry.detail) },
      ],
    }),
})
