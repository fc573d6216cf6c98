/**
 * Measures of an edge of many isolates, none of which lives to be asked: each tells the router what it has
 * counted since it last told and how it stands, now and then and when it is read from. An isolate that dies takes the last
 * seconds of its counts with it; what is billed does not depend on them.
 */
import { AppError } from '#core/error.ts'
import { type Signer, sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'
import type { Told } from '#platform/metrics/isolates.ts'
import { type Reading, Registry } from '#platform/metrics/registry.ts'
import { GROWTH_PATH, MEASURES_PATH } from '#platform/router/wire.ts'
import type { EdgeDeps, EdgeMetrics } from '../deps.ts'
import { functionsReading } from './functions.ts'

const TELL_EVERY_MS = 5_000
const ANSWER_MS_MAX = 5_000

type Deps = Pick<EdgeDeps, 'clock' | 'background' | 'log' | 'functions'> & {
  signer: Signer
  fetch(request: Request): Promise<Response>
  /** Of the router, without a slash at the end. */
  origin: string
}

/** `tell` is for every request: what it does, it does now and then. */
export function toldMetrics(deps: Deps): EdgeMetrics & { tell(): void } {
  const registry = new Registry()
  /** Told apart from the others of this edge. */
  let isolate = ''
  let toldAt = deps.clock.now()

  async function send(path: string): Promise<Response> {
    // Made by the first request: outside of one, nothing in a Worker is random.
    isolate ||= crypto.randomUUID()
    const growth = registry.takeGrowth()
    toldAt = deps.clock.now()
    const told: Told = { isolate, growth, gauges: registry.gauges() }
    const body = JSON.stringify(told)
    const claims = { call: null, method: 'POST', path, body: await sha256Hex(body) }
    const headers = { [TOKEN_HEADER]: await deps.signer.sign(claims, toldAt) }
    const signal = AbortSignal.timeout(ANSWER_MS_MAX)
    try {
      const request = { method: 'POST', headers, body, signal }
      const response = await deps.fetch(new Request(deps.origin + path, request))
      if (response.ok) return response
      throw new Error(`status ${response.status}`)
    } catch (cause) {
      registry.absorb(growth)
      throw new AppError('unavailable', {
        public: 'The router does not answer, which gathers the measures.',
        internal: `router: ${String(cause)}`,
        retryAfterS: 1,
        cause,
      })
    }
  }

  return {
    registry,
    async readings() {
      const [told, functions] = await Promise.all([send(MEASURES_PATH), functionsReading(deps)])
      return [...((await told.json()) as Reading[]), ...functions]
    },
    tell() {
      if (deps.clock.now() - toldAt < TELL_EVERY_MS) return
      toldAt = deps.clock.now()
      const told = send(GROWTH_PATH).catch(error => {
        deps.log.error('edge.measures_not_told', { error: String(error) })
      })
      deps.background(told)
    },
  }
}
