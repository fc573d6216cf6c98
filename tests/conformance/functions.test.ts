/** The suite of the ways to the functions over HTTP, as places of one machine ask them. */
import { createServer } from 'node:net'
import { serveHttp } from '#local/places/http-host.ts'
import { openFunctions } from '#platform/functions/open.ts'
import { functionsSuite } from './functions.ts'

functionsSuite({
  name: 'HTTP',
  async open(handler) {
    const port = await freePort()
    const { close } = await serveHttp({ host: '127.0.0.1', port, fetch: handler })
    const url = `http://127.0.0.1:${port}`
    return { functions: await openFunctions(url), url, close }
  },
})

function freePort(): Promise<number> {
  return new Promise(resolve => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}
