/** Output tensors as tables: a row for each row, where all outputs have as many. */
import type { JsonTensor, JsonValue } from '../../inference/infer.ts'
import { count } from '../format.ts'
import { type Column, table } from '../table.ts'
import type { Terminal } from '../terminal.ts'

const ROWS_MAX = 20
const VALUES_MAX = 8
const DIGITS = 6

type Row = { index: number; cells: string[] }

export function outputTable(terminal: Terminal, outputs: JsonTensor[]): string {
  const rows = outputs[0]?.shape[0]
  const alike = outputs.every(({ shape }) => shape.length > 0 && shape[0] === rows)
  if (alike && rows !== undefined) return rowTable(terminal, outputs, rows)
  return outputs.map(output => rowTable(terminal, [output], output.shape[0] ?? 1)).join('\n\n')
}

function rowTable(terminal: Terminal, outputs: JsonTensor[], rows: number): string {
  const tensors = outputs.map(output => flat(output.data))
  const shown: Row[] = Array.from({ length: Math.min(rows, ROWS_MAX) }, (_, index) => ({
    index,
    cells: tensors.map(values => cell(values, index, rows)),
  }))
  const columns: Column<Row>[] = [
    { title: 'ROW', right: true, of: row => row.index },
    ...outputs.map(({ name, shape }, at) => ({
      title: shape.length > 1 ? `${name} [${shape.slice(1)}]` : name,
      of: ({ cells }: Row) => cells[at]!,
    })),
  ]
  const rest = rows > ROWS_MAX ? `\n… ${count(rows - ROWS_MAX)} more rows; --json prints all.` : ''
  return table(terminal, columns, shown) + rest
}

function flat(data: JsonValue[]): JsonValue[] {
  return data.some(Array.isArray)
    ? data.flatMap(each => (Array.isArray(each) ? flat(each) : [each]))
    : data
}

function cell(all: JsonValue[], index: number, rows: number): string {
  const size = all.length / Math.max(1, rows)
  const values = all.slice(index * size, (index + 1) * size)
  const shown = values.slice(0, VALUES_MAX).map(short).join('  ')
  return values.length > VALUES_MAX
    ? `${shown}  … ${count(values.length - VALUES_MAX)} more`
    : shown
}

function short(value: JsonValue): string {
  if (typeof value !== 'number' || Number.isInteger(value)) return String(value)
  return String(Number(value.toPrecision(DIGITS)))
}
