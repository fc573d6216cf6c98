/** Sources of webhooks by their address: asked of the control API, kept for seconds, forgotten on a change. */
import type { Caller } from '#core/caller.ts'
import { keyOf, type OpenedSource, type SecretKey } from '#core/events/hooks/hooks.ts'
import type { HookSource } from '#schemas/hook.ts'
import { isId } from '#schemas/ids.ts'
import type { EdgeDeps } from './deps.ts'
import { FreshCache } from './fresh-cache.ts'
import { ask } from './functions-client.ts'

const SOURCES_MAX = 20_000
/** A secret that was removed must not be believed again: nothing is served past its freshness. */
const STALE_MS = 0

export type HeldSource = { caller: Caller; source: HookSource; keys: SecretKey[] }

export class HookDirectory {
  readonly #deps: EdgeDeps
  readonly #sources = new FreshCache<HeldSource>(SOURCES_MAX, STALE_MS)

  constructor(deps: EdgeDeps) {
    this.#deps = deps
  }

  /** Null: nobody has this address. */
  async resolve(id: string): Promise<HeldSource | null> {
    if (!isId('hook', id)) return null
    return this.#sources.get(this.#deps, id, async () => {
      const { found } = await ask<{ found: OpenedSource | null }>(
        this.#deps,
        '/internal/hooks/source',
        { id },
      )
      if (!found) return null
      const { caller, source, secrets } = found
      const keys = await Promise.all(secrets.map(secret => keyOf(source.scheme, secret)))
      return { caller, source, keys }
    })
  }

  forget(tenantId: string): void {
    this.#sources.delete((_, { caller }) => caller.tenantId === tenantId)
  }
}
