/** What runners say of their own load, as rows have it: whoever runs them knows only that they are there. */
import { inArray } from 'drizzle-orm'
import type { Tx } from '#core/deps.ts'
import { runners } from '#schemas/tables/runners.ts'
import type { RunnerNow } from '../snapshot.ts'

/** Who runs them says how old they are a moment before it is read what they said. */
const MOMENT_S = 1

/** A runner as it is known by who runs it. */
export type PoolRunner = Omit<RunnerNow, 'idleS' | 'onlineShare' | 'warmModels'>

/** `working`: those that hold a lease, by name. What was said under a name before this runner had it is not its. */
export async function withLoad(
  tx: Tx,
  fleet: readonly PoolRunner[],
  { working, now }: { working: ReadonlySet<string>; now: number },
): Promise<RunnerNow[]> {
  const names = fleet.map(({ name }) => name)
  const rows =
    names.length > 0 ? await tx.select().from(runners).where(inArray(runners.name, names)) : []
  const said = new Map(rows.map(row => [row.name, row]))
  return fleet.map(runner => {
    const { name, state, ageS } = runner
    const row = state === 'starting' ? undefined : said.get(name)
    const agoS = (at: Date | null | undefined) => (at ? (now - at.getTime()) / 1000 : Infinity)
    const own = row && agoS(row.seenAt) <= ageS + MOMENT_S ? row : null
    const isWorking = working.has(name) || (own?.onlineShare ?? 0) > 0
    return {
      ...runner,
      idleS: isWorking ? 0 : Math.max(0, Math.min(ageS, agoS(own?.onlineAt))),
      onlineShare: own?.onlineShare ?? 0,
      warmModels: own?.warmModels ?? 0,
    }
  })
}
