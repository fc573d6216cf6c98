/** A door to objects for places that run elsewhere: `POST /objects/<class>/<name>/<method>`, signed. */
import type { Clock } from '#core/deps.ts'
import { TOKEN_HEADER, type Verifier } from '#core/internal/signing.ts'

/** What is signed as it should be is answered; anything else is refused unread. */
export function signedDoor(
  { verifier, clock }: { verifier: Verifier; clock: Clock },
  answer: (name: string, method: string, body: Uint8Array) => Promise<Response>,
): (request: Request) => Promise<Response> {
  return async request => {
    const { pathname: path } = new URL(request.url)
    const body = new Uint8Array(await request.arrayBuffer())
    try {
      const token = request.headers.get(TOKEN_HEADER)
      await verifier.verify(token, { method: request.method, path, body }, clock.now())
    } catch {
      return Response.json({ code: 'unauthenticated' }, { status: 401 })
    }
    const [, , , name = '', method = ''] = path.split('/')
    return answer(name, method, body)
  }
}
