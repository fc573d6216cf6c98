/** The end of `publish`: the caller hears how validation ended, not that it began. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Call } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import * as models from '#core/models/models.ts'
import type { FunctionsDeps } from '../deps.ts'
import { inTenant, type OfTenant } from '../in-tenant.ts'

/** What is ready as quickly as most is needs no second question; for the rest the edge waits. */
const PATIENCE_MS = 500
const POLL_FIRST_MS = 20
const POLL_MAX_MS = 250

/** The version when it is ready, or as it is after a moment. Throws as `published` does. */
export async function publishSettled(deps: FunctionsDeps, call: Call, stored: unknown) {
  const { model, version } = stored as models.ShownVersion
  const { tenantId } = call.caller
  const until = deps.clock.now() + PATIENCE_MS
  for (let pauseMs = POLL_FIRST_MS; ; pauseMs = Math.min(pauseMs * 1.5, POLL_MAX_MS)) {
    const now = await published(deps, { tenantId, model, version })
    if (now.state !== 'validating' || deps.clock.now() > until) return now
    await sleep(pauseMs)
  }
}

/** The version as it is now. Throws `invalid_model` with what is wrong, and `conflict` where it is gone. */
export async function published(
  deps: FunctionsDeps,
  asked: OfTenant<{ model: string; version: number }>,
): Promise<models.ShownVersion> {
  const { model, version } = asked
  const now = await inTenant(deps, asked, unit =>
    models.version(unit, { model, version: String(version) }),
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
  return now
}
