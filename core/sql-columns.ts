/** Whole columns of many rows as one parameter each. */
import { sql } from 'drizzle-orm'

/**
 * One column of many rows as one parameter: drizzle would make a list of it. Written here (PostgreSQL
 * manual, "Array Value Input"), since the driver takes thrice as long for each element.
 */
export function columnOf<Row>(rows: readonly Row[]) {
  return (of: (row: Row) => string | number | null | undefined) => {
    const elements = rows.map(row => elementOf(of(row) ?? null))
    return sql.param(`{${elements.join(',')}}`)
  }
}

function elementOf(value: string | number | null): string {
  if (value === null) return 'null'
  if (typeof value === 'number') return String(value)
  const isPlain = !value.includes('"') && !value.includes('\\')
  return `"${isPlain ? value : value.replaceAll(/["\\]/g, '\\$&')}"`
}
