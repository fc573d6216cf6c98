/**
 * Key records in KV, between an isolate's memory and the control API. A record is believed only while
 * nothing can have revoked it unheard: it is young, this isolate has read the revocation list of late,
 * and the list, which reaches back past the oldest record believed, does not name it.
 * Wraps the way to the functions, because all of this is seen there passing by.
 */
import type { Clock } from '#core/deps.ts'
import type { EdgeDeps } from './deps.ts'

/** The first list that an isolate reads goes a minute back: records must be younger. */
const RECORD_MS_MAX = 45_000
const LIST_MS_MAX = 20_000
/** The least that KV takes. */
const KV_TTL_S = 60
const REVOKED_MAX = 10_000

/** The part of a KV namespace that is used. */
export type KeyStore = {
  get(name: string): Promise<string | null>
  put(name: string, value: string, options: { expirationTtl: number }): Promise<void>
}
type Stored = { at: number; record: string }

export function withKeyRecords(
  functions: EdgeDeps['functions'],
  deps: Pick<EdgeDeps, 'background'> & { clock: Clock; store: KeyStore },
): EdgeDeps['functions'] {
  const { clock, store, background } = deps
  const revoked = new Set<string>()
  let listReadAt = 0
  let changedAt = 0

  async function lookUp(request: Request): Promise<Response> {
    const { publicId } = (await request.clone().json()) as { publicId: string }
    const askedAt = clock.now()
    const name = `key:${publicId}`
    if (askedAt - listReadAt < LIST_MS_MAX && !revoked.has(publicId)) {
      const text = await store.get(name).catch(() => null)
      const stored = text === null ? null : (JSON.parse(text) as Stored)
      const isYoung = stored && askedAt - stored.at < RECORD_MS_MAX && stored.at > changedAt
      if (isYoung && !revoked.has(publicId)) return jsonReply(stored.record)
    }
    const response = await functions.fetch(request)
    if (!response.ok) return response
    const record = await response.text()
    // What is not there now may be there in a second: only what was found is kept.
    const found = JSON.parse(record) as { caller?: unknown; revoked?: boolean } | null
    if (found?.caller && !found.revoked) {
      const value = JSON.stringify({ at: askedAt, record } satisfies Stored)
      background(store.put(name, value, { expirationTtl: KV_TTL_S }).catch(() => {}))
    }
    return jsonReply(record)
  }

  async function readList(request: Request): Promise<Response> {
    const askedAt = clock.now()
    const response = await functions.fetch(request)
    if (!response.ok) return response
    const text = await response.text()
    const { publicIds } = JSON.parse(text) as { publicIds: string[] }
    if (revoked.size > REVOKED_MAX) {
      // Records of before this moment are not believed any more, so the old names are not needed.
      revoked.clear()
      changedAt = askedAt
    }
    for (const publicId of publicIds) revoked.add(publicId)
    listReadAt = askedAt
    return jsonReply(text)
  }

  return {
    async fetch(request) {
      const { pathname } = new URL(request.url)
      if (pathname === '/internal/keys') return lookUp(request)
      if (pathname === '/internal/revocations') return readList(request)
      const response = await functions.fetch(request)
      // What a caller changes through this isolate holds here at once.
      if (request.method !== 'GET' && /^\/v1\/(keys|tenants)\b/.test(pathname))
        changedAt = clock.now()
      return response
    },
  }
}

function jsonReply(text: string): Response {
  return new Response(text, { headers: { 'content-type': 'application/json' } })
}
