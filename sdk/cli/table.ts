/** Tables and fields in plain text. */
import { stripVTControlCharacters } from 'node:util'
import { clean } from './format.ts'
import type { Terminal } from './terminal.ts'

export type Column<Row> = {
  title: string
  /** Numbers stand at the right. */
  right?: boolean
  of: (row: Row) => string | number
}

export function table<Row>(terminal: Terminal, columns: Column<Row>[], rows: Row[]): string {
  const cells = rows.map(row => columns.map(column => clean(String(column.of(row)))))
  return grid(terminal, columns, cells)
}

/** A table whose last row is a sum. */
export function totals<Row>(terminal: Terminal, columns: Column<Row>[], rows: Row[], sum: Row) {
  const lines = table(terminal, columns, [...rows, sum]).split('\n')
  const last = lines.pop()!
  return [...lines, terminal.style('bold', last)].join('\n')
}

function grid<Row>(terminal: Terminal, columns: Column<Row>[], cells: string[][]): string {
  const widths = columns.map(({ title }, at) =>
    Math.max(width(title), ...cells.map(row => width(row[at]!))),
  )
  const line = (row: string[]) =>
    row
      .map((cell, at) => padded(cell, widths[at]!, columns[at]!.right))
      .join('  ')
      .trimEnd()
  const head = terminal.style('dim', line(columns.map(column => column.title)))
  return [head, ...cells.map(line)].join('\n')
}

/** Names at the left, values at the right; what is undefined is left out. */
export function fields(terminal: Terminal, values: Record<string, string | number | undefined>) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined)
  const names = Math.max(...given.map(([name]) => width(name)))
  return given
    .map(
      ([name, value]) => `${terminal.style('dim', padded(name, names))}  ${clean(String(value))}`,
    )
    .join('\n')
}

function padded(text: string, to: number, right = false): string {
  const space = ' '.repeat(Math.max(0, to - width(text)))
  return right ? space + text : text + space
}

function width(text: string): number {
  return [...stripVTControlCharacters(text)].length
}
