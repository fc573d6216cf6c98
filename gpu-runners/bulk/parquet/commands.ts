/** What the runner asks of the process that reads and writes Parquet, and what comes back. */

/** Files lie in the folder of the step under these names, so that no SQL holds a path. */
export const INPUT = 'input.parquet'
export const ROWS = 'rows.jsonl'
export const RESULT = 'result.parquet'
export const partName = (number: number) => `part-${number}.jsonl`

export type Column = {
  /** Key in the lines of the parts. */
  key: string
  /** Name in the result. */
  name: string
  /** Type in SQL. */
  type: string
}
export type Command =
  | { kind: 'inspect' }
  /** Writes the rows `from` up to, not including, `to` as lines of JSON. */
  | { kind: 'rows'; columns: string[]; from: number; to: number }
  /** Writes the parts, in order, as one file. */
  | { kind: 'join'; parts: number; columns: Column[] }
export type Request = { folder: string } & Command

export type Inspected = { columns: string[]; groups: { rows: number; bytes: number }[] }
/** `memory`, `disk`: it ran out of them; `data`: the file itself. */
export type Failed = { failed: 'memory' | 'disk' | 'data'; text: string }
export type Reply = Inspected | Record<string, never> | Failed
