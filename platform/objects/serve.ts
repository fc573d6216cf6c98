/** The server's half of objects over HTTP: signed calls in, replies that are on disk out. */
import type { Clock, Log } from '#core/deps.ts'
import { AppError, problem } from '#core/error.ts'
import { TOKEN_HEADER, type Verifier } from '#core/internal/signing.ts'
import type { ObjectHost } from './sqlite.ts'

/** A batch of events, or a plan with its keys. */
const INPUT_BYTES_MAX = 16 * 1024 ** 2

/** Answers `POST /objects/<class>/<name>/<method>`; errors are problem documents. */
export function serveObjects(deps: {
  host: Pick<ObjectHost, 'call'>
  verifier: Verifier
  clock: Clock
  log: Log
}): (request: Request) => Promise<Response> {
  return async request => {
    try {
      return Response.json(await answer(deps, request))
    } catch (error) {
      const document = problem(error, request.headers.get('galley-request-id') ?? '')
      if (document.status >= 500 || document.status === 401) {
        deps.log.error('objects.failed', { url: request.url, error: String(error) })
      }
      return Response.json(document, {
        status: document.status,
        headers: { 'content-type': 'application/problem+json' },
      })
    }
  }
}

async function answer(
  { host, verifier, clock }: Parameters<typeof serveObjects>[0],
  request: Request,
): Promise<unknown> {
  const { pathname: path } = new URL(request.url)
  if (Number(request.headers.get('content-length') ?? Infinity) > INPUT_BYTES_MAX) {
    throw new AppError('payload_too_large')
  }
  const body = new Uint8Array(await request.arrayBuffer())
  const { method } = request
  await verifier.verify(request.headers.get(TOKEN_HEADER), { method, path, body }, clock.now())
  const [, , className, name, verb, ...rest] = path.split('/')
  if (!path.startsWith('/objects/') || !verb || rest.length > 0 || method !== 'POST') {
    throw new AppError('not_found', {
      public: 'Objects answer POST /objects/<class>/<name>/<method>.',
    })
  }
  return (
    (await host.call(className!, name!, verb, JSON.parse(new TextDecoder().decode(body)))) ?? null
  )
}
