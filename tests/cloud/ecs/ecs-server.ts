/** DescribeServices and UpdateService of ECS (its JSON 1.1 protocol), as far as a pool uses them, on loopback. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

const PREFIX = 'AmazonEC2ContainerServiceV20141113.'

/** `wanted`: how many tasks each service of the cluster has been told to have. */
export async function serveEcs(cluster: string, wanted: Map<string, number>) {
  const described = (serviceName: string) => ({
    serviceName,
    status: 'ACTIVE',
    desiredCount: wanted.get(serviceName),
  })
  const server = createServer(async (request, response) => {
    const asked = JSON.parse(await text(request))
    const answer = (status: number, body: object) =>
      response
        .writeHead(status, { 'content-type': 'application/x-amz-json-1.1' })
        .end(JSON.stringify(body))
    const refuse = (type: string) => answer(400, { __type: type, message: type })
    const action = String(request.headers['x-amz-target']).replace(PREFIX, '')
    if (!request.headers.authorization?.startsWith('AWS4-HMAC-SHA256 '))
      return refuse('MissingAuthenticationTokenException')
    if (asked.cluster !== cluster) return refuse('ClusterNotFoundException')
    if (action === 'DescribeServices') {
      const names: string[] = asked.services
      const missing = names.filter(name => !wanted.has(name))
      return answer(200, {
        services: names.filter(name => wanted.has(name)).map(described),
        failures: missing.map(name => ({ arn: `service/${cluster}/${name}`, reason: 'MISSING' })),
      })
    }
    if (action !== 'UpdateService') return refuse('InvalidParameterException')
    if (!wanted.has(asked.service)) return refuse('ServiceNotFoundException')
    wanted.set(asked.service, asked.desiredCount)
    return answer(200, { service: described(asked.service) })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
