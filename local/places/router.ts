/** The router as a process of its own, for an edge that cannot hold it: runners dial a socket, Workers a port. */
import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { openSigner, openVerifier } from '#core/internal/signing.ts'
import { createRouter } from '#gpu-runners/router.ts'
import { serveRouter } from '#gpu-runners/router-http.ts'
import { openLog } from '#platform/log.ts'
import { endWithParent, reportReady } from '#platform/parent.ts'
import { readRouterEnv } from './env.ts'
import { serveHttp } from './http-host.ts'
import { shipper } from './ship.ts'

const env = readRouterEnv()
const clock = { now: () => Date.now() }
const log = openLog({ place: 'router', clock })
const functions = {
  fetch(request: Request) {
    const { pathname, search } = new URL(request.url)
    return fetch(new Request(env.functionsUrl + pathname + search, request))
  },
}
const { router, attach, close } = createRouter({
  clock,
  log,
  verifier: await openVerifier({ runner: env.runnerKey }),
  ship: shipper({ functions, signer: await openSigner('edge', env.edgeKey), clock }),
})

rmSync(env.socket, { force: true })
const runners = createServer(attach).listen(env.socket)
const verifier = await openVerifier({ edge: env.edgeKey })
const server = await serveHttp({
  host: '127.0.0.1',
  port: env.port,
  fetch: serveRouter({ router, verifier, clock, log }),
})

endWithParent(async why => {
  if (why === 'stop') await server.close()
  runners.close()
  close()
})
reportReady()
