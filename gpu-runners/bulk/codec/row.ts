/** One line of JSONL as the values of a row: an object whose keys are the model's inputs. */
import { AppError } from '#core/error.ts'
import { invalid, shown } from '#core/inference/invalid.ts'
import type { Signature } from '#schemas/signature.ts'
import type { RowError } from './text.ts'

/** `values` in the order of the signature's inputs; `id` as JSON text, to be given back. */
export type Row = { id: string | null } & ({ values: unknown[] } | { error: RowError })
export type RowReader = (line: string) => Row

/** An integer whose digits a double may not hold; fractions of so many digits are not meant. */
const LONG_INTEGER = /(?<![\d.])\d{16,}(?![\d.eE])/
const BARE_WORD = /NaN|Infinity/

/** Reads lines. What is wrong with one comes out as its error. */
export function rowReader(signature: Signature): RowReader {
  const names = signature.inputs.map(input => input.name)
  const takesId = names.includes('id')
  return line => {
    let id: string | null = null
    try {
      const row = objectOf(line, names)
      const hasId = !takesId && Object.hasOwn(row, 'id')
      if (hasId) id = idText(row.id)
      if (Object.keys(row).length > names.length + Number(hasId)) refuseExtra(row, names, takesId)
      return { id, values: names.map(name => inputOf(row, name, names)) }
    } catch (error) {
      return { id, error: rowError(error) }
    }
  }
}

/** The error of a row; what is no row's fault is thrown on. */
export function rowError(error: unknown): RowError {
  if (!(error instanceof AppError)) throw error
  return { code: error.code, detail: error.public }
}

function objectOf(line: string, names: string[]): Record<string, unknown> {
  const row = parse(line)
  if (typeof row !== 'object' || row === null || Array.isArray(row)) {
    invalid(`The row is ${shown(row)}; it must be an object with ${listed(names)}.`)
  }
  return row as Record<string, unknown>
}

function inputOf(row: Record<string, unknown>, name: string, names: string[]): unknown {
  if (!Object.hasOwn(row, name)) invalid(`Input "${name}" is missing; a row has ${listed(names)}.`)
  return row[name]
}

function parse(line: string): unknown {
  try {
    return parseExact(line)
  } catch (error) {
    if (BARE_WORD.test(line)) {
      try {
        // Python's encoder emits these words; as strings they have a meaning here.
        return parseExact(line.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, quoteBare))
      } catch {}
    }
    return invalid(`The line is not JSON: ${(error as Error).message.slice(0, 200)}`)
  }
}

function parseExact(line: string): unknown {
  return LONG_INTEGER.test(line) ? JSON.parse(line, exactInteger as never) : JSON.parse(line)
}

function exactInteger(_key: string, value: unknown, context: { source: string }): unknown {
  return typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context.source)
    ? BigInt(context.source)
    : value
}

function quoteBare(token: string): string {
  return token.startsWith('"') ? token : `"${token}"`
}

function idText(id: unknown): string {
  if (typeof id === 'bigint') return id.toString()
  if (typeof id === 'string' || typeof id === 'number') return JSON.stringify(id)
  return invalid(`"id" is ${shown(id)}; it must be a string or a number.`)
}

function refuseExtra(row: Record<string, unknown>, names: string[], takesId: boolean): void {
  const extra = Object.keys(row).find(key => (takesId || key !== 'id') && !names.includes(key))
  if (extra === undefined) return
  invalid(
    `Key ${shown(extra)} is no input of the model; a row has ${listed(names)}, and may have "id".`,
  )
}

function listed(names: string[]): string {
  return names.map(name => JSON.stringify(name)).join(', ')
}
