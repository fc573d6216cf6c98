/**
 * What stands behind a Worker in these tests: functions that know one key and one model, the real door
 * of the router and the real blob host. All of it refuses what the edge did not sign.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { Blobs, InferenceRouter, Servable } from '#core/deps.ts'
import { problem } from '#core/error.ts'
import {
  openVerifier,
  placeKey,
  STREAMED,
  TOKEN_HEADER,
  type Verified,
  type Verifier,
} from '#core/internal/signing.ts'
import { type MintedKey, mint } from '#core/tenants/api-key.ts'
import { serveRouter } from '#gpu-runners/router-http.ts'
import { serveBlobs } from '#platform/blob/serve.ts'
import { newId } from '#schemas/ids.ts'
import { SCOPES } from '#schemas/route.ts'

const BLOBS_PATH = '/internal/blobs'
const clock = { now: () => Date.now() }
const log = { info() {}, error() {} }

export type Upstream = {
  origin: string
  edgeKey: string
  key: MintedKey
  model: Servable
  /** Of the functions, in the order they came. */
  asked: { path: string; body: string; claims: Verified }[]
  revokedIds: string[]
  /** Answers of a path wait for it. */
  gates: Map<string, Promise<unknown>>
  /** Replies of the control API by method and path. */
  replies: Map<string, unknown>
  /** As a router that was started again: it knows no model. */
  restartRouter(): void
  close(): Promise<void>
}

export async function startUpstream(o: {
  router: InferenceRouter
  blobs: Blobs
}): Promise<Upstream> {
  const edgeKey = await placeKey('a secret of the test alone, long enough', 'edge')
  const verifier = await openVerifier({ edge: edgeKey })
  const key = await mint()
  const blobHost = serveBlobs({ blobs: o.blobs, path: BLOBS_PATH })
  const newRouter = () =>
    serveRouter({ router: o.router, readings: async () => [], verifier, clock, log })
  let router = newRouter()
  const server = createServer(getRequestListener(answer))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const upstream: Upstream = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    edgeKey,
    key,
    model: servable(),
    asked: [],
    revokedIds: [],
    gates: new Map(),
    replies: new Map(),
    restartRouter() {
      router = newRouter()
    },
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return upstream

  async function answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url)
    if (pathname === '/infer' || pathname === '/ready') return router(request)
    try {
      if (pathname.startsWith(BLOBS_PATH)) {
        await verified(verifier, request, STREAMED)
        return await blobHost(request)
      }
      return await functions(request)
    } catch (error) {
      const document = problem(error, '')
      return Response.json(document, { status: document.status })
    }
  }

  async function functions(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url)
    const body = new Uint8Array(await request.arrayBuffer())
    const claims = await verified(verifier, request, body)
    const text = new TextDecoder().decode(body)
    upstream.asked.push({ path: pathname, body: text, claims })
    await upstream.gates.get(pathname)
    if (pathname === '/internal/keys') {
      const { publicId } = JSON.parse(text) as { publicId: string }
      return Response.json(publicId === key.publicId ? record(upstream) : {})
    }
    if (pathname === '/internal/revocations') {
      return Response.json({ at: clock.now(), publicIds: upstream.revokedIds })
    }
    if (pathname === '/internal/models/resolve')
      return Response.json({ model: upstream.model, rollout: null })
    return Response.json(upstream.replies.get(`${request.method} ${pathname}`) ?? {})
  }
}

const tenantId = newId('tenant')
const keyId = newId('key')

function record({ key, revokedIds }: Upstream) {
  const caller = {
    tenantId,
    keyId,
    scopes: [...SCOPES],
    plan: 'standard',
    project: 'p',
    tags: { a: 'b' },
  }
  return { caller, hash: key.hash, expiresAt: null, revoked: revokedIds.includes(key.publicId) }
}

function verified(verifier: Verifier, request: Request, body: Uint8Array | typeof STREAMED) {
  const { pathname, search } = new URL(request.url)
  const token = request.headers.get(TOKEN_HEADER)
  return verifier.verify(
    token,
    { method: request.method, path: pathname + search, body },
    clock.now(),
  )
}

function servable(): Servable {
  return {
    model: 'm',
    version: 1,
    digest: 'd'.repeat(64),
    manifest: { files: [] } as unknown as Servable['manifest'],
    signature: { inputs: [], outputs: [] } as unknown as Servable['signature'],
  }
}
