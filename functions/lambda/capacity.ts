/** Every few seconds: as many runners in each pool as waiting work is worth. */
import { SCHEDULES } from '#schemas/schedules.ts'
import { sizePools } from '../capacity.ts'
import { called, type Invocation, openBase } from '../invocation/base.ts'
import { openPools } from '../invocation/pools.ts'
import { repeated } from '../invocation/repeated.ts'

const base = await openBase('capacity')
const pools = openPools(base)

export const handler = (_event: unknown, invocation: Invocation) =>
  called(base, 'capacity', invocation, () =>
    repeated(base, SCHEDULES.capacity, invocation, async () => {
      const failed = await sizePools(base, pools)
      if (failed.length > 0) throw new Error(`These pools were not sized, see the log: ${failed}`)
    }),
  )
