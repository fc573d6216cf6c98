/**
 * What the cloud says of the machine under this process: EC2's instance metadata, version 2, in which each
 * read carries a token that was asked for first ("Use the Instance Metadata Service", EC2 user guide).
 */
import type { Clock } from '#core/deps.ts'

const TOKEN_PATH = '/latest/api/token'
const TOKEN_TTL_S = 21_600
/** It is renewed while it still holds. */
const TOKEN_MARGIN_S = 60
/** The service is on the machine itself: what takes longer will not come. */
const ANSWER_MS_MAX = 2_000

export type InstanceMetadata = {
  /** The text at the path below `/latest/meta-data/`; null where the service has nothing there (404). */
  read(path: string, signal: AbortSignal): Promise<string | null>
}

/** `url`: the service's address, without a path. A read throws when the service does not answer it. */
export function instanceMetadata(deps: { clock: Clock }, url: string): InstanceMetadata {
  let token: { text: string; until: number } | null = null

  async function ask(path: string, init: RequestInit, signal: AbortSignal): Promise<Response> {
    const late = AbortSignal.timeout(ANSWER_MS_MAX)
    // A redirect would take the token elsewhere.
    const given = { redirect: 'error', signal: AbortSignal.any([signal, late]) } as const
    return fetch(new URL(path, url), { ...init, ...given })
  }

  async function currentToken(signal: AbortSignal): Promise<string> {
    const now = deps.clock.now()
    if (token && token.until > now) return token.text
    const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': String(TOKEN_TTL_S) }
    const response = await ask(TOKEN_PATH, { method: 'PUT', headers }, signal)
    const text = await response.text()
    if (!response.ok) throw new Error(`instance metadata: ${response.status} to PUT ${TOKEN_PATH}`)
    token = { text, until: now + (TOKEN_TTL_S - TOKEN_MARGIN_S) * 1000 }
    return text
  }

  async function readOnce(path: string, signal: AbortSignal): Promise<Response> {
    const headers = { 'x-aws-ec2-metadata-token': await currentToken(signal) }
    return ask(`/latest/meta-data/${path}`, { headers }, signal)
  }

  return {
    async read(path, signal) {
      let response = await readOnce(path, signal)
      if (response.status === 401) {
        // The service was restarted, or takes another view of the time.
        await response.body?.cancel()
        token = null
        response = await readOnce(path, signal)
      }
      const text = await response.text()
      if (response.status === 404) return null
      if (!response.ok) throw new Error(`instance metadata: ${response.status} to GET ${path}`)
      return text
    },
  }
}
