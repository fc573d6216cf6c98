/** Every second: what transactions promised and nobody has sent. */
import * as outbox from '#core/outbox.ts'
import { SCHEDULES } from '#schemas/schedules.ts'
import { called, type Invocation, openBase } from '../invocation/base.ts'
import { repeated } from '../invocation/repeated.ts'
import { openQueue } from '../invocation/stores.ts'

const base = await openBase('relay')
const deps = { ...base, queue: openQueue(base) }

export const handler = (_event: unknown, invocation: Invocation) =>
  called(base, 'relay', invocation, () =>
    repeated(base, SCHEDULES.relay, invocation, async () => {
      while ((await outbox.relay(deps)) > 0);
    }),
  )
