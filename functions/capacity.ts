/** Each pool of runners as large as rows say that it is worth, whatever is wrong with another. */
import * as capacity from '#core/capacity/capacity.ts'
import type { Clock, Database, Log } from '#core/deps.ts'
import { inFull } from '#core/error.ts'

type Deps = { db: Database; clock: Clock; log: Log }

/** Returns the classes of those that could not be sized. */
export async function sizePools(
  deps: Deps,
  pools: ReadonlyMap<string, capacity.RunnerPool>,
): Promise<string[]> {
  const failed: string[] = []
  for (const [hardware, pool] of pools) {
    try {
      await pool.apply(await capacity.decideNow(deps, await pool.fleet()))
    } catch (error) {
      failed.push(hardware)
      deps.log.error('functions.pool_not_sized', { hardware, error: inFull(error) })
    }
  }
  return failed
}
