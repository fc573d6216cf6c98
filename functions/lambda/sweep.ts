/** Every few seconds: what expired, and what no request and no message asks for. */
import { SCHEDULES } from '#schemas/schedules.ts'
import { called, type Invocation, openBase } from '../invocation/base.ts'
import { repeated } from '../invocation/repeated.ts'
import { openFeatures } from '../invocation/stores.ts'
import { sweep } from '../sweep.ts'

const base = await openBase('sweep')
const deps = { ...base, features: await openFeatures(base) }

export const handler = (_event: unknown, invocation: Invocation) =>
  called(base, 'sweep', invocation, () =>
    repeated(base, SCHEDULES.sweep, invocation, async () => {
      const failed = await sweep(deps)
      if (failed.length > 0) throw new Error(`These sweeps failed, see the log: ${failed}`)
    }),
  )
