/** The database as its owner sees it: for the invariants that no caller can see. */
import pg from 'pg'
import { DATABASE, SUPERUSER } from '#local/postgres/address.ts'

/** Runs one query. Throws while the server is away. */
export async function query<Row extends pg.QueryResultRow>(
  dataFolder: string,
  text: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const host = `${dataFolder}/postgres`
  const client = new pg.Client({ host, user: SUPERUSER, database: DATABASE })
  await client.connect()
  try {
    return (await client.query<Row>(text, values)).rows
  } finally {
    await client.end()
  }
}

/** Steps whose result was written by another lease than the one that ended them: none, ever. */
export async function staleResults(dataFolder: string): Promise<number> {
  const [row] = await query<{ n: number }>(
    dataFolder,
    `select count(*)::int as n from steps
     where state = 'done' and output ? 'key' and output->>'key' not like '%-' || epoch`,
  )
  return row!.n
}

export type HeldStep = { runner: string; epoch: number }

/** Who works on the shard of a job now; null: nobody. */
export async function holderOf(dataFolder: string, runId: string): Promise<HeldStep | null> {
  const [row] = await query<HeldStep>(
    dataFolder,
    `select runner, epoch from steps where run_id = $1 and kind = 'shard' and state = 'leased'`,
    [runId],
  )
  return row ?? null
}
