/** Receipts whose runner was lost, from the router's own copies to the ledger. */
import { setTimeout as sleep } from 'node:timers/promises'
import { sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'
import type { EdgeDeps } from '#edge/deps.ts'

const PATH = '/internal/receipts'
const TRIES_MAX = 60
const PAUSE_MS = 1_000

/** Sends lines until the ledger has them, for a minute at the longest. */
export function shipper(deps: Pick<EdgeDeps, 'functions' | 'signer' | 'clock'>) {
  return async (lines: string): Promise<void> => {
    const body = new TextEncoder().encode(`{"lines":${lines}}`)
    const claims = { call: null, method: 'POST', path: PATH, body: await sha256Hex(body) }
    for (let tries = 1; ; tries++) {
      const headers = { [TOKEN_HEADER]: await deps.signer.sign(claims, deps.clock.now()) }
      const request = new Request(`http://functions${PATH}`, { method: 'POST', headers, body })
      const answer = await deps.functions.fetch(request).catch(error => error as Error)
      if (answer instanceof Response && answer.ok) return
      if (tries >= TRIES_MAX) {
        throw new Error(answer instanceof Response ? `status ${answer.status}` : answer.message)
      }
      await sleep(PAUSE_MS)
    }
  }
}
