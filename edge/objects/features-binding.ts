/** Feature objects as the Worker reaches them, and the door by which the functions do. */
import type { ApplyAt } from '#core/deps.ts'
import { AppError, fromProblem, problem } from '#core/error.ts'
import { OBJECTS_PER_REQUEST_MAX } from '#platform/objects/http.ts'
import type { CallObject } from '#platform/objects/remote.ts'
import type { FeatureMethod, FeatureOutcome, FeaturesObject } from './features.ts'
import { signedDoor } from './signed-door.ts'

/** One object that does not answer keeps the others' answers no longer. */
const PATIENCE_MS = 6_000

const decoder = new TextDecoder()

type Namespace = DurableObjectNamespace<FeaturesObject>

/** How the Worker calls an object of its own: by the class's name, as over any other way. */
export function boundCall(namespace: Namespace): CallObject {
  return async <T>(_: string, name: string, method: string, input: unknown) => {
    const outcome = await outcomeOf(namespace, name, method as FeatureMethod, input)
    if ('value' in outcome) return outcome.value as T
    throw fromProblem(outcome.problem)
  }
}

/**
 * Answers `POST /objects/features/<name>/<method>`, signed by the functions, and
 * `POST /objects/features/<tenant>/applyAt` with calls of many objects, each of which has its own outcome.
 */
export function serveFeatures(
  namespace: Namespace,
  deps: Parameters<typeof signedDoor>[0],
): ReturnType<typeof signedDoor> {
  return signedDoor(deps, async (name, method, body) => {
    const input = JSON.parse(decoder.decode(body))
    if (method === 'applyAt') {
      if (input.length > OBJECTS_PER_REQUEST_MAX) return tooMany()
      return Response.json(await outcomesOf(namespace, name, input))
    }
    const outcome = await outcomeOf(namespace, name, method as FeatureMethod, input)
    if ('value' in outcome) return Response.json(outcome.value)
    return Response.json(outcome.problem, { status: outcome.problem.status })
  })
}

function outcomeOf(
  namespace: Namespace,
  name: string,
  method: FeatureMethod,
  input: unknown,
): Promise<FeatureOutcome> {
  const object = namespace.get(namespace.idFromName(name))
  return object.call(name, method, input) as unknown as Promise<FeatureOutcome>
}

function tooMany(): Response {
  const said = `At most ${OBJECTS_PER_REQUEST_MAX} objects can be called at once.`
  const document = problem(new AppError('payload_too_large', { public: said }), '')
  return Response.json(document, { status: document.status })
}

function outcomesOf(
  namespace: Namespace,
  tenantId: string,
  calls: ApplyAt[],
): Promise<FeatureOutcome[]> {
  return Promise.all(
    calls.map(({ group, input }) =>
      inTime(outcomeOf(namespace, `${tenantId}-${group}`, 'apply', input)),
    ),
  )
}

/** Whatever becomes of one call, the others are told of theirs. */
async function inTime(outcome: Promise<FeatureOutcome>): Promise<FeatureOutcome> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer came in time')), PATIENCE_MS)
  })
  try {
    return await Promise.race([outcome, late])
  } catch (cause) {
    const internal = `the object: ${String(cause)}`
    return {
      problem: problem(new AppError('unavailable', { internal, retryable: true, cause }), ''),
    }
  } finally {
    clearTimeout(timer)
  }
}
