/** Calls of objects over HTTP, each signed. */
import type { AppliedAt, ApplyAt, Clock } from '#core/deps.ts'
import { AppError, fromProblem, type Problem } from '#core/error.ts'
import type { Answer } from '#core/features/partition-object.ts'
import { type Signer, sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'
import { type Applied, type ApplyMany, appliedOf, type CallObject } from './remote.ts'

/** Who waits longer for a token is better served without: the edge then spends by itself. */
const PATIENCE_MS = 2_000
/** Longer than the door waits for any one of the objects that it is asked for together. */
const MANY_PATIENCE_MS = 8_000
/** Of one request: a Worker calls a thousand objects at most for it, and holds it and its reply whole. */
export const OBJECTS_PER_REQUEST_MAX = 100
const CHARACTERS_PER_REQUEST_MAX = 2_000_000
/** Each is a connection of a function that has a thousand for everything. */
const REQUESTS_AT_ONCE = 4

/** Of one of several objects: its answer, or why it gave none. */
type Outcome = { value: unknown } | { problem: Problem }
type Origin = {
  fetch(request: Request): Promise<Response>
  /** Such as `http://127.0.0.1:4503`. */
  origin: string
  signer: Signer
  clock: Clock
}

/** One request a call. */
export function httpObjects(o: Origin): CallObject {
  return async <T>(className: string, name: string, method: string, input: unknown) => {
    const path = `/objects/${className}/${name}/${method}`
    return (await post(o, path, JSON.stringify(input), PATIENCE_MS)) as T
  }
}

/** Many objects a request, and few requests at a time. One that fails fails its own objects alone. */
export function httpApplyAt(o: Origin): ApplyMany {
  return async (tenantId, calls) => {
    const path = `/objects/features/${tenantId}/applyAt`
    let away: unknown
    const ask = async (texts: string[]): Promise<AppliedAt[]> => {
      try {
        if (away) throw away
        const outcomes = await post(o, path, `[${texts.join(',')}]`, MANY_PATIENCE_MS)
        return (outcomes as Outcome[]).map(outcomeOf)
      } catch (error) {
        return texts.map(() => ({ error }))
      }
    }
    const requests = requestsOf(calls)
    const all: AppliedAt[] = []
    for (let at = 0; at < requests.length; at += REQUESTS_AT_ONCE) {
      const some = (await Promise.all(requests.slice(at, at + REQUESTS_AT_ONCE).map(ask))).flat()
      all.push(...some)
      const [first] = some
      // Where nobody answers, the rest is not waited for as well.
      if (first && 'error' in first && some.every(each => 'error' in each)) away = first.error
    }
    return all
  }
}

/** The calls as JSON, in their order. */
function requestsOf(calls: readonly ApplyAt[]): string[][] {
  const requests: string[][] = []
  let characters = Number.POSITIVE_INFINITY
  for (const call of calls) {
    const text = JSON.stringify(call)
    const isFull = requests.at(-1)?.length === OBJECTS_PER_REQUEST_MAX
    if (isFull || characters + text.length > CHARACTERS_PER_REQUEST_MAX) {
      requests.push([])
      characters = 0
    }
    requests.at(-1)!.push(text)
    characters += text.length
  }
  return requests
}

function outcomeOf(outcome: Outcome): AppliedAt {
  if ('problem' in outcome) return { error: fromProblem(outcome.problem) }
  return appliedOf(outcome.value as Answer<Applied>)
}

async function post(o: Origin, path: string, text: string, patienceMs: number): Promise<unknown> {
  const body = new TextEncoder().encode(text)
  const claims = { call: null, method: 'POST', path, body: await sha256Hex(body) }
  const token = await o.signer.sign(claims, o.clock.now())
  const away = (cause: unknown) => {
    throw new AppError('unavailable', {
      internal: `objects at ${o.origin}: ${String(cause)}`,
      retryable: true,
      cause,
    })
  }
  const request = new Request(o.origin + path, {
    method: 'POST',
    headers: { [TOKEN_HEADER]: token, 'content-type': 'application/json' },
    body,
    signal: AbortSignal.timeout(patienceMs),
  })
  const response = await o.fetch(request).catch(away)
  const answer = await response.json().catch(away)
  if (!response.ok) throw fromProblem(answer)
  return answer
}
