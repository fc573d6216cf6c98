/** The runner's one way to the control API: signed with its own key, retried while it may help. */
import { setTimeout as sleep } from 'node:timers/promises'
import { faultOf } from '#core/carried.ts'
import type { Clock } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { type Signer, sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'
import type { Functions } from '#platform/functions/open.ts'

const RETRY_FIRST_MS = 100
const RETRY_MAX_MS = 2_000
/** Answers that say that something is wrong in there: after half a minute of them it is this question. */
const FAULTS_MAX = 15

export type Control = {
  /** One question; throws the functions' error, or `unavailable` when they do not answer. */
  ask<T>(path: string, input: unknown, signal?: AbortSignal): Promise<T>
  /** The same with a body that is JSON already. */
  askJson<T>(path: string, json: string, signal?: AbortSignal): Promise<T>
  /**
   * Asks for as long as the functions are away; throws what they answer, an inner fault only after a
   * while of it. The signal ends it early.
   */
  insist<T>(path: string, input: unknown, signal?: AbortSignal): Promise<T>
}

export function openControl(
  deps: { url: string; functions?: Functions; signer: Signer; clock: Clock },
  retryMaxMs = RETRY_MAX_MS,
): Control {
  async function askJson<T>(path: string, json: string, signal?: AbortSignal): Promise<T> {
    const body = new TextEncoder().encode(json)
    const claims = { call: null, method: 'POST', path, body: await sha256Hex(body) }
    const token = await deps.signer.sign(claims, deps.clock.now())
    const headers = { [TOKEN_HEADER]: token, 'content-type': 'application/json' }
    let response: Response
    try {
      const request = new Request(deps.url + path, { method: 'POST', headers, body, signal })
      response = await (deps.functions ?? fetch)(request)
    } catch (cause) {
      if (cause instanceof AppError) throw cause
      throw new AppError('unavailable', { internal: `functions: ${cause}`, retryable: true, cause })
    }
    const answer = await response.json().catch(() => null)
    if (!response.ok) throw faultOf(response, answer)
    if (answer === null)
      throw new AppError('unavailable', {
        internal: `functions: the answer to ${path} broke off`,
        retryable: true,
      })
    return answer as T
  }

  const ask = <T>(path: string, input: unknown, signal?: AbortSignal) =>
    askJson<T>(path, JSON.stringify(input), signal)

  async function insist<T>(path: string, input: unknown, signal?: AbortSignal): Promise<T> {
    let faults = 0
    for (
      let pauseMs = Math.min(RETRY_FIRST_MS, retryMaxMs);
      ;
      pauseMs = Math.min(pauseMs * 2, retryMaxMs)
    ) {
      try {
        return await ask<T>(path, input, signal)
      } catch (error) {
        if (!mayPass(error) || signal?.aborted) throw error
        if (isFault(error) && ++faults === FAULTS_MAX) throw error
      }
      await sleep(pauseMs, undefined, { signal })
    }
  }

  return { ask, askJson, insist }
}

function mayPass(error: unknown): boolean {
  return error instanceof AppError && error.status >= 500
}

function isFault(error: unknown): boolean {
  return error instanceof AppError && error.code === 'internal'
}
