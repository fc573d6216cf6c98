/** Files of exports, one at a time for each tenant: who asks for many at once would take the machine. */
import type { Call } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import type { FunctionsDeps } from '../deps.ts'

type Deps = Pick<FunctionsDeps, 'db' | 'blobs' | 'clock' | 'openSpool' | 'exporting'>

/** Throws `rate_limited` while another file of the tenant is made. */
export async function exportRest(deps: Deps, call: Call, input: { cursor: string }) {
  const { exporting } = deps
  const { tenantId } = call.caller
  if (exporting.has(tenantId)) {
    throw new AppError('rate_limited', {
      public:
        'Another file of an export is being made for this tenant; ask again when it is there.',
      retryAfterS: 1,
    })
  }
  exporting.add(tenantId)
  try {
    return await events.exportRest(deps, call, input)
  } finally {
    exporting.delete(tenantId)
  }
}
