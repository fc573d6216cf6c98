/**
 * DuckDB for one training set: within limits, without extensions from outside. What has no room in memory goes
 * to the folder of the work, without the log and the compression that a file to be kept would cost.
 */
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import type { Limits } from './messages.ts'

export type Database = {
  connection: DuckDBConnection
  /** What waits is written here, while the other is asked. */
  writer: DuckDBConnection
  run(sql: string): Promise<void>
  /** Rows as arrays; numbers of 64 bits and more as bigint. */
  rows<Row extends unknown[]>(sql: string): Promise<Row[]>
  close(): void
}

export async function openDatabase({ memoryMb, threads }: Limits): Promise<Database> {
  const instance = await DuckDBInstance.create(':memory:', {
    threads: String(threads),
    memory_limit: `${memoryMb}MB`,
    temp_directory: 'spill',
    preserve_insertion_order: 'true',
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  })
  const connection = await instance.connect()
  const writer = await instance.connect()
  await connection.run(`set TimeZone = 'UTC'`)
  return {
    connection,
    writer,
    run: async sql => void (await connection.run(sql)),
    rows: async <Row extends unknown[]>(sql: string) =>
      (await connection.runAndReadAll(sql)).getRowsJS() as unknown as Row[],
    close() {
      writer.closeSync()
      connection.closeSync()
      instance.closeSync()
    },
  }
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
