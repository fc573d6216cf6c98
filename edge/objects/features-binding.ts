/** Feature objects as the Worker reaches them, and the door by which the functions do. */
import { fromProblem } from '#core/error.ts'
import type { CallObject } from '#platform/objects/remote.ts'
import type { FeatureMethod, FeatureOutcome, FeaturesObject } from './features.ts'
import { signedDoor } from './signed-door.ts'

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

/** Answers `POST /objects/features/<name>/<method>`, signed by the functions. */
export function serveFeatures(
  namespace: Namespace,
  deps: Parameters<typeof signedDoor>[0],
): ReturnType<typeof signedDoor> {
  return signedDoor(deps, async (name, method, body) => {
    const input = JSON.parse(decoder.decode(body))
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
