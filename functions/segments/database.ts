/** DuckDB for a piece of work on files: within limits, on one thread, without extensions from outside. */
import type { DuckDBConnection } from '@duckdb/node-api'

/** What does not fit goes to the folder of the work. */
const MEMORY_LIMIT = '256MB'

export type Analysis = {
  run(sql: string): Promise<void>
  /** Rows by column; numbers of 64 bits as bigint. */
  rows<Row>(sql: string): Promise<Row[]>
  close(): void
}

/** Loaded when it is used first: most processes of the functions never seal anything. */
export async function openAnalysis(folder: string): Promise<Analysis> {
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const instance = await DuckDBInstance.create(':memory:', {
    // One thread and kept order: the same rows give the same bytes.
    threads: '1',
    memory_limit: MEMORY_LIMIT,
    temp_directory: `${folder}/spill`,
    preserve_insertion_order: 'true',
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  })
  const connection: DuckDBConnection = await instance.connect()
  await connection.run(`set TimeZone = 'UTC'`)
  return {
    run: async sql => void (await connection.run(sql)),
    rows: async <Row>(sql: string) =>
      (await connection.runAndReadAll(sql)).getRowObjects() as unknown as Row[],
    close() {
      connection.closeSync()
      instance.closeSync()
    },
  }
}
