/** The door to tenants' objects for a part of the edge that runs elsewhere: the router's gRPC. */
import type { Clock } from '#core/deps.ts'
import { TOKEN_HEADER, type Verifier } from '#core/internal/signing.ts'
import type { TenantObject } from './tenant.ts'

/** Answers `POST /objects/tenant/<tenant>/leaseRate`, signed by the edge. */
export function serveTenants(
  namespace: DurableObjectNamespace<TenantObject>,
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
    const [, , , tenant = '', method = ''] = path.split('/')
    if (method !== 'leaseRate') return Response.json({ code: 'not_found' }, { status: 404 })
    const object = namespace.get(namespace.idFromName(tenant))
    return Response.json(await object.leaseRate(JSON.parse(new TextDecoder().decode(body))))
  }
}
