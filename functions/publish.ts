/** The wait of `publish`: the caller hears how validation ended, not that it began. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Call } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import * as models from '#core/models/models.ts'
import type { FunctionsDeps } from './deps.ts'

const POLL_FIRST_MS = 20
const POLL_MAX_MS = 250

/**
 * The version when it is ready. Throws `invalid_model` with what is wrong, and answers the version as
 * it is, `validating`, when the wait is over: the caller may ask again.
 */
export async function publishSettled(deps: FunctionsDeps, call: Call, stored: unknown) {
  const { model, version } = stored as models.ShownVersion
  const until = deps.clock.now() + deps.patienceMs
  for (let pauseMs = POLL_FIRST_MS; ; pauseMs = Math.min(pauseMs * 1.5, POLL_MAX_MS)) {
    const now = await deps.db.tenant(call.caller.tenantId, tx =>
      models.version({ tx, clock: deps.clock }, { model, version: String(version) }),
    )
    if (now.state === 'invalid') {
      throw new AppError('invalid_model', {
        public: `${now.error} (version ${version} of "${model}")`,
      })
    }
    if (now.state === 'deleted') {
      throw new AppError('conflict', {
        public: `Version ${version} of "${model}" was deleted before it was ready.`,
      })
    }
    if (now.state !== 'validating' || deps.clock.now() > until) return now
    await sleep(pauseMs)
  }
}
