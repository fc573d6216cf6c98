/**
 * The process that reads and writes Parquet with DuckDB: native code on files from strangers, so it has
 * no environment, bounded memory, and its end is nobody else's. Rows cross to and from the engine as
 * lines of JSON, which hold every number exactly, so that one path serves both formats.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { DuckDBConnection } from '@duckdb/node-api'
import {
  type Column,
  type Command,
  type Failed,
  INPUT,
  type Inspected,
  partName,
  RESULT,
  type Reply,
  type Request,
  ROWS,
} from './commands.ts'

const MEMORY_LIMIT = '384MB'
/** Rows are gathered in memory until a group is full. */
const GROUP_BYTES = 32 * 2 ** 20
const GROUP_ROWS_MAX = 122_880
const GROUP_ROWS_MIN = 2_048
const OBJECT_BYTES_MIN = 2 ** 20

process.on('disconnect', () => process.exit(0))
// Ctrl-C reaches the whole process group; the runner decides when this ends.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
process.on('message', ({ folder, ...command }: Request) => {
  perform(folder, command as Command).then(
    reply => process.send!(reply),
    error => process.send!(failure(error)),
  )
})

async function perform(folder: string, command: Command): Promise<Reply> {
  process.chdir(folder)
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const database = await DuckDBInstance.create(':memory:', {
    threads: '1',
    memory_limit: MEMORY_LIMIT,
    temp_directory: 'spill',
    preserve_insertion_order: 'true',
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  })
  const connection = await database.connect()
  try {
    if (command.kind === 'inspect') return await inspect(connection)
    await connection.run(command.kind === 'rows' ? rowsSql(command) : await joinSql(command))
    return {}
  } finally {
    connection.closeSync()
    database.closeSync()
  }
}

async function inspect(connection: DuckDBConnection): Promise<Inspected> {
  const described = await connection.runAndReadAll(`describe select * from ${source()}`)
  const groups = await connection.runAndReadAll(`
    select any_value(row_group_num_rows)::double, sum(total_compressed_size)::double
    from parquet_metadata('${INPUT}') group by row_group_id order by row_group_id`)
  return {
    columns: described.getRows().map(row => String(row[0])),
    groups: groups.getRows().map(row => ({ rows: Number(row[0]), bytes: Number(row[1]) })),
  }
}

function rowsSql({ columns, from, to }: Extract<Command, { kind: 'rows' }>): string {
  const names = columns.map(quoted).join(', ')
  return `copy (select ${names} from ${source(', file_row_number = true')}
    where file_row_number >= ${from} and file_row_number < ${to})
    to '${ROWS}' (format json)`
}

async function joinSql({ parts, columns }: Extract<Command, { kind: 'join' }>): Promise<string> {
  const files = Array.from({ length: parts }, (_, number) => partName(number))
  const all = [
    { key: 'index', name: 'index', type: 'BIGINT' },
    ...columns,
    { key: 'error', name: 'error', type: 'VARCHAR' },
  ]
  const selected = all.map(({ key, name }) => `${quoted(key)} as ${quoted(name)}`).join(', ')
  const { rowsPerGroup, longest } = await measure(files)
  const from = parts === 0 ? nothing(all) : lines(all, files, longest)
  return `copy (select ${selected} from ${from}) to '${RESULT}'
    (format parquet, compression zstd, row_group_size ${rowsPerGroup})`
}

function lines(columns: Column[], files: string[], longest: number): string {
  const types = columns.map(({ key, type }) => `${quoted(key)}: '${type}'`).join(', ')
  return `read_json([${files.map(file => `'${file}'`).join(', ')}],
    format = 'newline_delimited', columns = {${types}},
    maximum_object_size = ${Math.max(OBJECT_BYTES_MIN, longest + 1)})`
}

function nothing(columns: Column[]): string {
  return `(select ${columns.map(({ key, type }) => `null::${type} as ${quoted(key)}`).join(', ')} limit 0)`
}

function source(options = ''): string {
  // Strings that were written without being called so are strings all the same.
  return `read_parquet('${INPUT}', binary_as_string = true${options})`
}

/** The reader needs room for the longest line, and twice that is what it takes: so it is looked up. */
async function measure(files: string[]): Promise<{ rowsPerGroup: number; longest: number }> {
  let rows = 0
  let bytes = 0
  let longest = 0
  for (const file of files) {
    let lineStart = 0
    let offset = 0
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) {
        longest = Math.max(longest, offset + at - lineStart)
        lineStart = offset + at + 1
        rows++
      }
      offset += chunk.length
    }
    bytes += (await stat(file)).size
  }
  const fitting = Math.floor(GROUP_BYTES / Math.max(1, bytes / Math.max(1, rows)))
  return { rowsPerGroup: Math.min(GROUP_ROWS_MAX, Math.max(GROUP_ROWS_MIN, fitting)), longest }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function failure(error: unknown): Failed {
  const text = String((error as Error)?.message ?? error).split('\n', 1)[0]!
  if (/no space left|max_temp_directory_size/i.test(text)) return { failed: 'disk', text }
  return { failed: /^Out of Memory/i.test(text) ? 'memory' : 'data', text }
}
