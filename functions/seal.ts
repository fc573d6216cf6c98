/** What a schedule does every minute with the log: hours that are over become segments. */
import * as decisions from '#core/decisions/decisions.ts'
import { inFull } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import type { FunctionsDeps } from './deps.ts'
import { openSpool } from './segments/spool.ts'

type Deps = Pick<FunctionsDeps, 'db' | 'blobs' | 'clock' | 'log' | 'features'>

/** Of every minute, and of every hour. */
const OFTEN = { seal: events.sealDue, erase: events.eraseDue, check: events.checkQuality }
const RARELY = { trim: events.trimLogs }

/** What there is to do in this minute, counted from the start. */
export async function tendLog(deps: Deps, minute: number): Promise<void> {
  const works = { ...OFTEN, ...(minute % 60 === 1 && RARELY) }
  for (const [name, work] of Object.entries(works)) {
    try {
      await work({ ...deps, openSpool, eraseBesides: decisions.forget })
    } catch (error) {
      deps.log.error('functions.log_not_tended', { work: name, error: inFull(error) })
    }
  }
}
