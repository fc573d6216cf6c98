/** Parquet files as they come from Galley, read and written by DuckDB. */
import { DuckDBInstance, type JS } from '@duckdb/node-api'

const instance = await DuckDBInstance.create(':memory:', { threads: '2' })
const connection = await instance.connect()

export type Row = Record<string, JS>

/** Rows as objects; whole numbers of 64 bits are bigint. */
export async function rowsOf(sql: string): Promise<Row[]> {
  return (await connection.runAndReadAll(sql)).getRowObjectsJS()
}

/** The columns of a query, each an array. */
export async function columnsOf(sql: string): Promise<JS[][]> {
  return (await connection.runAndReadAll(sql)).getColumnsJS()
}

export async function writeParquet(sql: string, path: string): Promise<void> {
  await connection.run(`copy (${sql}) to '${path}' (format parquet)`)
}
