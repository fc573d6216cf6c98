/** What a bundle of each function holds besides its own code, and how large it may be. */
import type { FunctionName } from '#schemas/cloud/functions.ts'

export type Budget = {
  /** Of code and source map, compressed: a larger one is fetched and parsed for longer at each cold start. */
  codeKbMax: number
  /** DuckDB is in it, for the system and processor that it will run on. */
  native?: true
  /** Migrations are in it. */
  migrations?: true
}

/** Lambda takes archives of 50 MB at once, and unpacks up to 250. */
export const NATIVE_KB_MAX = 30_000

export const BUDGETS: Record<FunctionName, Budget> = {
  // Files of exports are made while their caller waits.
  api: { codeKbMax: 1_000, native: true },
  // Both have S3's client for bodies of messages, and load it when there is one.
  ingest: { codeKbMax: 750 },
  verify: { codeKbMax: 750 },
  relay: { codeKbMax: 750 },
  sweep: { codeKbMax: 600 },
  // It has ECS's client.
  capacity: { codeKbMax: 750 },
  tend: { codeKbMax: 800, native: true },
  migrate: { codeKbMax: 600, migrations: true },
}
