/** Texts in SQL that is written out as a whole, as for DuckDB: what names files takes no parameters. */
export function sqlText(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}
