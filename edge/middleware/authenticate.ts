/**
 * Who asks: from a bearer key to a caller. The checksum turns garbage away without a look-up; a key
 * seen in the last ten seconds costs one map access. Unknown, revoked, expired and foreign keys get
 * the same answer.
 */
import type { Caller } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import { sha256Hex } from '#core/internal/signing.ts'
import { publicIdOf } from '#core/tenants/api-key.ts'
import type { EdgeDeps } from '../deps.ts'
import { FreshCache } from '../fresh-cache.ts'
import { ask } from '../functions-client.ts'

const KEYS_MAX = 100_000
const REVOCATIONS_EVERY_MS = 10_000
/** Without news of revocations for so long, what changes things is refused. */
const REVOCATIONS_LOST_MS = 30_000
/** One key in a few spellings of its header at most: each of them takes a place among the keys held. */
const BEARER = /^Bearer {1,4}(\S{1,100})$/i
/** The list is asked for from a little before the last answer: clocks and commits are not exact. */
const REVOCATIONS_OVERLAP_MS = 60_000

type Needs = Pick<EdgeDeps, 'functions' | 'signer' | 'clock' | 'log' | 'background'>
type Found = { caller: Caller; hash: string; expiresAt: number | null; revoked: boolean }
type Held = { caller: Caller; publicId: string; expiresAt: number | null }

export class Authenticator {
  readonly #deps: Needs
  readonly #keys = new FreshCache<Held>(KEYS_MAX)
  #revocationsAskedAt = 0
  #revocationsReading: Promise<void> | null = null
  #revocationsKnownAt: number

  constructor(deps: Needs) {
    this.#deps = deps
    this.#revocationsKnownAt = deps.clock.now()
  }

  /** The caller of a fresh key, without a promise; undefined when it must be looked up. */
  known(authorization: string | undefined, nowMs: number): Caller | undefined {
    if (nowMs - this.#revocationsAskedAt > REVOCATIONS_EVERY_MS) void this.#readRevocations(nowMs)
    const held = authorization && this.#keys.fresh(authorization, nowMs)
    if (!held || (held.expiresAt !== null && held.expiresAt <= nowMs)) return undefined
    return held.caller
  }

  /** The caller. Throws `unauthenticated`. */
  async caller(authorization: string | undefined): Promise<Caller> {
    const key = BEARER.exec(authorization ?? '')?.[1]
    if (!key) {
      throw new AppError('unauthenticated', {
        public: 'Send your API key as "Authorization: Bearer gly_live_…".',
      })
    }
    await this.#hearBeforeStale(authorization!)
    const publicId = publicIdOf(key)
    const held = publicId
      ? await this.#keys.get(this.#deps, authorization!, () => this.#lookUp(key, publicId))
      : null
    const { clock } = this.#deps
    if (!held || (held.expiresAt !== null && held.expiresAt <= clock.now())) throw refused()
    return held.caller
  }

  /** Forgets the keys of a tenant, so that what was just changed through this edge holds at once. */
  forget(tenantId: string): void {
    this.#keys.delete((_, held) => held.caller.tenantId === tenantId)
  }

  /** For routes that change things. Throws `unavailable` where a revocation may have been missed. */
  async mustKnowRevocations(nowMs: number): Promise<void> {
    const known = () => nowMs - this.#revocationsKnownAt < REVOCATIONS_LOST_MS
    if (known()) return
    // After a quiet time nobody has asked yet: this request waits for the answer.
    await this.#readRevocations(nowMs)
    if (known()) return
    throw new AppError('unavailable', {
      public: 'Keys cannot be checked for revocation right now; try again in a moment.',
      retryAfterS: 1,
    })
  }

  /** A key that is no longer fresh may be served once more, but not past what the list says by now. */
  async #hearBeforeStale(authorization: string): Promise<void> {
    const now = this.#deps.clock.now()
    if (now - this.#revocationsKnownAt <= REVOCATIONS_EVERY_MS) return
    if (this.#keys.has(authorization)) await this.#readRevocations(now)
  }

  async #lookUp(key: string, publicId: string): Promise<Held | null> {
    const found = await ask<Partial<Found>>(this.#deps, '/internal/keys', { publicId })
    if (!found.caller || found.revoked || found.hash !== (await sha256Hex(key))) return null
    return { caller: found.caller, publicId, expiresAt: found.expiresAt ?? null }
  }

  #readRevocations(nowMs: number): Promise<void> {
    if (this.#revocationsReading) return this.#revocationsReading
    this.#revocationsAskedAt = nowMs
    const sinceMs = this.#revocationsKnownAt - REVOCATIONS_OVERLAP_MS
    const read = ask<{ publicIds: string[] }>(this.#deps, '/internal/revocations', { sinceMs })
    this.#revocationsReading = read
      .then(
        ({ publicIds }) => {
          this.#revocationsKnownAt = nowMs
          const revoked = new Set(publicIds)
          if (revoked.size > 0) this.#keys.delete((_, held) => revoked.has(held.publicId))
        },
        error => this.#deps.log.error('edge.revocations_unread', { error: String(error) }),
      )
      .finally(() => {
        this.#revocationsReading = null
      })
    this.#deps.background(this.#revocationsReading)
    return this.#revocationsReading
  }
}

function refused(): AppError {
  return new AppError('unauthenticated', {
    public: 'This API key does not work: check it for typing errors, or ask for a new one.',
  })
}
