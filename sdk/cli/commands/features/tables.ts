/** Imported tables: rows by entity, of which features take the newest. */
import { resolve } from 'node:path'
import type { Contract, Item } from '../../../client.ts'
import { withFile } from '../../../node.ts'
import { type Command, command, UsageError } from '../../command.ts'
import { bytes, count, time } from '../../format.ts'
import { documentIn } from '../../json-document.ts'
import { ofUpload, progress } from '../../progress.ts'
import { fields, table } from '../../table.ts'
import type { Terminal } from '../../terminal.ts'
import { waited } from '../jobs.ts'
import { formatOf } from '../jobs-create.ts'
import { LIST_OPTIONS, listed } from '../listing.ts'

type Definition = Omit<Contract['tables.put']['input']['body'], 'file'>
type Table = Item<'tables.list'>

const put = command({
  words: 'tables put',
  takes: ['<table>', '<file>'],
  summary: 'Import a file as a table, and wait until features see it.',
  about: `The definition is JSON: {"fields": {…}, "entities": {…}} as of an event type, and "time", the column that says
since when a row holds; without it rows hold from now on. Views name the table as the event type "table.<name>".
The same file again changes nothing; another is the next version, and its rows are newer than those of before.`,
  options: {
    definition: { value: 'file', help: 'what the columns hold' },
    format: { value: 'jsonl|parquet', help: "else by the file's ending" },
  },
  examples: ['galley tables put customers customers.parquet --definition customers.json'],
  async run(context, [name, path], options) {
    if (options.definition === undefined) {
      throw new UsageError('What do the columns hold? Add --definition <file>.')
    }
    const { terminal, cwd, signal } = context
    const definition = (await documentIn(context, options.definition)) as Definition
    const format = formatOf(path!, options.format)
    const galley = await context.galley()
    const bar = progress(terminal, 'upload', 'bytes')
    const sha256 = await withFile(resolve(cwd, path!), async rows => {
      return (await galley.upload(rows, { onProgress: ofUpload(bar), signal })).sha256
    }).finally(() => bar.end())
    const body = { ...definition, file: { sha256, format } }
    const made = await galley.request('tables.put', { params: { table: name! }, body }, { signal })
    await waited(context, galley, made.job)
    const input = { params: { table: name! } }
    const { versions } = await galley.request('tables.get', input, { signal })
    const end = versions.find(({ version }) => version === made.version)!
    const text = tableText(terminal, end)
    if (end.state === 'done') return { json: end, text }
    const failure = `The table is ${end.state}: ${end.error?.detail ?? 'no reason was given'}`
    return { json: end, text, failure }
  },
})

const list = command({
  words: 'tables list',
  summary: 'List imported tables, each at its newest version.',
  options: LIST_OPTIONS,
  examples: ['galley tables list'],
  run: (context, _args, options) =>
    listed(context, options, {
      name: 'tables.list',
      empty: 'No tables yet. Import one with: galley tables put <table> <file> --definition <file>',
      columns: [
        { title: 'TABLE', of: row => `${row.name}@${row.version}` },
        { title: 'STATE', of: row => row.state },
        { title: 'ROWS', right: true, of: row => (row.rows === null ? '?' : count(row.rows)) },
        { title: 'SHA-256', of: row => row.file.sha256.slice(0, 12) },
        { title: 'CREATED', of: row => time(row.created_at) },
      ],
    }),
})

const show = command({
  words: 'tables show',
  takes: ['<table>'],
  summary: 'Show the versions of a table, the newest first.',
  examples: ['galley tables show customers'],
  async run({ galley, terminal, signal }, [name]) {
    const input = { params: { table: name! } }
    const found = await (await galley()).request('tables.get', input, { signal })
    const columns = [
      { title: 'VERSION', right: true, of: (row: Table) => row.version },
      { title: 'STATE', of: (row: Table) => row.state },
      {
        title: 'ROWS',
        right: true,
        of: (row: Table) => (row.rows === null ? '?' : count(row.rows)),
      },
      { title: 'SIZE', right: true, of: (row: Table) => bytes(row.file.size) },
      { title: 'SHA-256', of: (row: Table) => row.file.sha256.slice(0, 12) },
      { title: 'CREATED', of: (row: Table) => time(row.created_at) },
    ]
    return { json: found, text: table(terminal, columns, found.versions) }
  },
})

export const tables: Command[] = [put, list, show]

function tableText(terminal: Terminal, row: Table): string {
  return fields(terminal, {
    table: `${row.name}@${row.version}`,
    'event type': `${row.event_type}, version ${row.event_type_version}`,
    state: row.state,
    rows: row.rows === null ? undefined : count(row.rows),
    sha256: row.file.sha256,
    error: row.error ? `${row.error.detail} (${row.error.code})` : undefined,
  })
}
