/** What every way to the functions promises, whatever lies between. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Functions } from '#platform/functions/open.ts'

export type FunctionsDriver = {
  name: string
  /** The way to a handler; `url` is what stands before the path. */
  open(handler: Functions): Promise<{ functions: Functions; url: string; close(): Promise<void> }>
}

export function functionsSuite(driver: FunctionsDriver): void {
  describe(`functions by ${driver.name}`, () => {
    let functions: Functions
    let url: string
    let close: () => Promise<void>
    beforeAll(async () => {
      const opened = await driver.open(answer)
      functions = opened.functions
      url = opened.url
      close = opened.close
    })
    afterAll(() => close())

    const ask = (path: string, init?: RequestInit) => functions(new Request(url + path, init))

    test('method, path, query, headers and body arrive as they were sent', async () => {
      const path = '/v1/models/a%2Fb/versions/1?cursor=%2B%2F%3D&limit=10&empty='
      const headers = { 'galley-internal': 'token', 'content-type': 'application/json' }
      const body = JSON.stringify({ text: 'é漢😀\n"' })
      const reply = await ask(path, { method: 'POST', headers, body })
      const told = (await reply.json()) as { headers: Record<string, string> }
      expect(told).toMatchObject({ method: 'POST', path, body: Buffer.from(body).toString('hex') })
      expect(told.headers).toMatchObject(headers)
    })

    test('bytes of any kind go and come back unchanged', async () => {
      const property = fc.asyncProperty(fc.uint8Array({ maxLength: 5_000 }), async bytes => {
        const init = { method: 'POST', body: bytes as Uint8Array<ArrayBuffer> }
        const back = new Uint8Array(await (await ask('/echo', init)).arrayBuffer())
        expect(Buffer.from(back)).toEqual(Buffer.from(bytes))
      })
      await fc.assert(property, { numRuns: 30 })
    })

    test('a reply has the status, headers and body that the function gave it', async () => {
      for (const status of [200, 202, 404, 409, 422, 503]) {
        const reply = await ask(`/status/${status}`)
        expect(reply.status).toBe(status)
        expect(reply.headers.get('retry-after')).toBe('7')
        expect(await reply.json()).toEqual({ status })
      }
      const bare = await ask('/status/204')
      expect([bare.status, await bare.text()]).toEqual([204, ''])
    })

    test('requests at once are answered each with its own', async () => {
      const bodies = Array.from({ length: 40 }, (_, i) => `body ${i}`)
      const asked = bodies.map(async body => (await ask('/echo', { method: 'POST', body })).text())
      expect(await Promise.all(asked)).toEqual(bodies)
    })

    test('who leaves hears at once, and not that the functions are away', async () => {
      const leave = new AbortController()
      const asked = ask('/never', { signal: leave.signal })
      setTimeout(() => leave.abort(), 50)
      await expect(asked).rejects.toMatchObject({ name: 'AbortError' })
    })
  })
}

async function answer(request: Request): Promise<Response> {
  const { pathname, search } = new URL(request.url)
  const status = Number(/^\/status\/(\d+)$/.exec(pathname)?.[1])
  // Long past the moment at which the caller leaves, however slow the machine is.
  if (pathname === '/never') await new Promise(resolve => setTimeout(resolve, 20_000).unref())
  if (status === 204) return new Response(null, { status })
  if (status) return Response.json({ status }, { status, headers: { 'retry-after': '7' } })
  const bytes = Buffer.from(await request.arrayBuffer())
  const type = { 'content-type': 'application/octet-stream' }
  if (pathname === '/echo') return new Response(bytes, { headers: type })
  const { method } = request
  const headers = Object.fromEntries(request.headers)
  return Response.json({ method, path: pathname + search, headers, body: bytes.toString('hex') })
}
