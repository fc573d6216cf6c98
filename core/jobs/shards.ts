/** A run over a file: one step plans the shards, one does each, and one joins what they made. */
import { and, asc, eq } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import type { RunId } from '#schemas/ids.ts'
import { steps } from '#schemas/tables/jobs.ts'
import type { NewStep } from './runs.ts'

/** A span of the input: bytes of lines, rows of Parquet, end excluded. `row` is the first row's index. */
export type ShardInput = { start: number; end: number; row: number; rows: number }

/** The steps that a plan calls for: the shards at once, and when all are done the one that joins them. */
export function shardsThenMerge(shards: readonly ShardInput[]): NewStep[] {
  const each = shards.map((input, number): NewStep => {
    return { kind: 'shard', number, state: 'queued', input }
  })
  return [...each, { kind: 'merge', number: 0, state: 'waiting', input: {} }]
}

/** What the shards that are done have given, in the order of the input. */
export async function doneShards(unit: Unit, runId: RunId): Promise<Record<string, unknown>[]> {
  const rows = await unit.tx
    .select({ output: steps.output })
    .from(steps)
    .where(and(eq(steps.runId, runId), eq(steps.kind, 'shard'), eq(steps.state, 'done')))
    .orderBy(asc(steps.number))
  return rows.map(row => row.output!)
}
