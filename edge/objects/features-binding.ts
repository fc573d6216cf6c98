/** Feature objects as the Worker reaches them, and the door by which the functions do. */
import type { Clock } from '#core/deps.ts'
import { fromProblem } from '#core/error.ts'
import { TOKEN_HEADER, type Verifier } from '#core/internal/signing.ts'
import type { CallObject } from '#platform/objects/remote.ts'
import type { FeatureMethod, FeatureOutcome, FeaturesObject } from './features.ts'

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
  deps: { verifier: Verifier; clock: Clock },
): (request: Request) => Promise<Response> {
  return async request => {
    const { pathname: path } = new URL(request.url)
    const body = new Uint8Array(await request.arrayBuffer())
    try {
      const token = request.headers.get(TOKEN_HEADER)
      await deps.verifier.verify(token, { method: request.method, path, body }, deps.clock.now())
    } catch {
      return Response.json({ code: 'unauthenticated' }, { status: 401 })
    }
    const [, , , name = '', method = ''] = path.split('/')
    const input = JSON.parse(new TextDecoder().decode(body))
    const outcome = await outcomeOf(namespace, name, method as FeatureMethod, input)
    if ('value' in outcome) return Response.json(outcome.value)
    return Response.json(outcome.problem, { status: outcome.problem.status })
  }
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
