/** The door to tenants' objects for a part of the edge that runs elsewhere: the router's gRPC. */
import { signedDoor } from './signed-door.ts'
import type { TenantObject } from './tenant.ts'

const decoder = new TextDecoder()

/** Answers `POST /objects/tenant/<tenant>/leaseRate`, signed by the edge. */
export function serveTenants(
  namespace: DurableObjectNamespace<TenantObject>,
  deps: Parameters<typeof signedDoor>[0],
): ReturnType<typeof signedDoor> {
  return signedDoor(deps, async (tenant, method, body) => {
    if (method !== 'leaseRate') return Response.json({ code: 'not_found' }, { status: 404 })
    const object = namespace.get(namespace.idFromName(tenant))
    return Response.json(await object.leaseRate(JSON.parse(decoder.decode(body))))
  })
}
