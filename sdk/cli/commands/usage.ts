/** What was consumed: totals, and the receipts that they are made of. */
import { GROUPS, type Quantities, type Reply } from '../../client.ts'
import { type Context, command, UsageError } from '../command.ts'
import { bytes, count, duration, list, time, timestamp } from '../format.ts'
import { type Column, totals } from '../table.ts'
import { LIST_OPTIONS, listed } from './listing.ts'

type Group = (typeof GROUPS)[number]
type Row = Quantities & { group: Record<string, string | null> }

export const usage = command({
  words: 'usage',
  summary: 'Totals of a period: requests, rows, tokens, compute time, bytes.',
  options: {
    from: { value: 'when', help: 'the first moment, such as 2026-11-01 or 2026-11-01T12:00Z' },
    to: { value: 'when', help: 'the first moment after it' },
    'group-by': { value: 'list', help: `some of ${GROUPS.join(',')}` },
  },
  examples: [
    'galley usage --from 2026-11-01 --to 2026-12-01 --group-by day,model',
    'galley usage --group-by project --json | jq .total.rows',
  ],
  async run(context, _args, options) {
    const groups = groupsOf(options['group-by'])
    const query = {
      from: options.from && timestamp('--from', options.from),
      to: options.to && timestamp('--to', options.to),
      group_by: groups.length > 0 ? groups.join(',') : undefined,
    }
    const galley = await context.galley()
    const reply = await galley.request('usage.totals', { query }, { signal: context.signal })
    return { json: reply, text: shown(context, groups, reply) }
  },
})

function shown({ terminal }: Context, groups: Group[], { data, total }: Reply<'usage.totals'>) {
  if (total.receipts === 0) return 'No usage in this period.'
  const columns: Column<Row>[] = [
    ...(groups.length > 0 ? groups : (['total'] as const)).map(group => ({
      title: group.toUpperCase(),
      of: ({ group: values }: Row) => values[group] ?? '-',
    })),
    { title: 'REQUESTS', right: true, of: row => count(row.requests) },
    { title: 'ROWS', right: true, of: row => count(row.rows) },
    { title: 'TOKENS', right: true, of: row => count(row.tokens) },
    { title: 'COMPUTE', right: true, of: row => duration(row.compute_us) },
    { title: 'IN', right: true, of: row => bytes(row.bytes_in) },
    { title: 'OUT', right: true, of: row => bytes(row.bytes_out) },
    { title: 'RECEIPTS', right: true, of: row => count(row.receipts) },
  ]
  const sum = { ...total, group: { [groups[0] ?? 'total']: 'total' } }
  return totals(terminal, columns, groups.length > 0 ? data : [], sum)
}

function groupsOf(text = ''): Group[] {
  const groups = list(text)
  const unknown = groups.find(group => !GROUPS.includes(group as Group))
  if (unknown === undefined) return groups as Group[]
  throw new UsageError(`--group-by takes some of ${GROUPS.join(', ')}, not "${unknown}".`)
}

export const receipts = command({
  words: 'receipts',
  summary: 'List receipts in the order of the ledger: one for each piece of work.',
  options: LIST_OPTIONS,
  examples: ['galley receipts --limit 10', 'galley receipts --all --json > receipts.json'],
  run: (context, _args, options) =>
    listed(context, options, {
      name: 'usage.receipts',
      empty: 'No receipts yet. Ask a model with: galley predict <model> <values>',
      columns: [
        { title: 'SEQ', right: true, of: receipt => receipt.seq },
        { title: 'AT', of: receipt => time(receipt.at) },
        { title: 'KIND', of: receipt => receipt.kind },
        { title: 'MODEL', of: receipt => `${receipt.model}@${receipt.version}` },
        { title: 'WORK', of: receipt => receipt.work },
        { title: 'ROWS', right: true, of: receipt => count(receipt.rows) },
        { title: 'COMPUTE', right: true, of: receipt => duration(receipt.compute_us) },
        { title: 'PROJECT', of: receipt => receipt.project ?? '-' },
        { title: 'KEY', of: receipt => receipt.key },
      ],
    }),
})
