/** Feature objects as the Worker reaches them, and the door by which the functions do. */
import type { Clock, FeatureObject, FeatureObjects } from '#core/deps.ts'
import { AppError, fromProblem } from '#core/error.ts'
import { TOKEN_HEADER, type Verifier } from '#core/internal/signing.ts'
import type { FeatureMethod, FeatureOutcome, FeaturesObject } from './features.ts'

type Namespace = DurableObjectNamespace<FeaturesObject>

export function boundFeatures(namespace: Namespace, partitionsPerObject: number): FeatureObjects {
  return {
    partitionsPerObject,
    group(tenantId, group) {
      const name = `${tenantId}-${group}`
      return {
        apply: input => call(namespace, name, 'apply', input),
        read: input => callByPlan(namespace, name, 'read', input),
        decide: input => callByPlan(namespace, name, 'decide', input),
      } as FeatureObject
    },
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

async function callByPlan(
  namespace: Namespace,
  name: string,
  method: FeatureMethod,
  input: { plan?: unknown },
): Promise<unknown> {
  const { plan, ...bare } = input
  try {
    return await call(namespace, name, method, bare)
  } catch (error) {
    const isWanted = error instanceof AppError && error.code === 'plan_wanted'
    if (!isWanted || !plan) throw error
    return call(namespace, name, method, input)
  }
}

async function call(
  namespace: Namespace,
  name: string,
  method: FeatureMethod,
  input: unknown,
): Promise<unknown> {
  const outcome = await outcomeOf(namespace, name, method, input)
  if ('value' in outcome) return outcome.value
  throw fromProblem(outcome.problem)
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
