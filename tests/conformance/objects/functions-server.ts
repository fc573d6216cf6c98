/** What objects tell their decisions to: a server that takes them, or refuses for as long as it is told to. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { openVerifier, TOKEN_HEADER } from '#core/internal/signing.ts'
import type { TenantId } from '#schemas/ids.ts'

export type FunctionsServer = {
  port: number
  url: string
  /** Whatever comes is refused from now on, until `take`. */
  refuse(): void
  take(): void
  /** How often something of the tenant was refused since `refuse`. */
  refused(tenantId: TenantId): number
  /** Ids of the events whose decisions were taken, of one tenant. */
  told(tenantId: TenantId): string[]
  close(): Promise<void>
}

/** `edgeKey`: what is not signed by it is no delivery. */
export async function startFunctionsServer(edgeKey: string): Promise<FunctionsServer> {
  const verifier = await openVerifier({ edge: edgeKey })
  let refused: string[] | null = null
  const told: { tenantId: string; id: string }[] = []
  const server = createServer(async (request, response) => {
    const body = new Uint8Array(await buffer(request))
    const { method, url: path, headers } = request
    const signed = { method: method!, path: path!, body }
    await verifier.verify(headers[TOKEN_HEADER] as string, signed, Date.now())
    const { tenantId, decided } = JSON.parse(Buffer.from(body).toString())
    if (refused) {
      refused.push(tenantId)
      response.writeHead(503).end('{}')
      return
    }
    for (const { event } of decided) told.push({ tenantId, id: event.id })
    response.end('{}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    refuse() {
      refused = []
    },
    take() {
      refused = null
    },
    refused: tenantId => (refused ?? []).filter(each => each === tenantId).length,
    told: tenantId => told.flatMap(each => (each.tenantId === tenantId ? [each.id] : [])),
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
