/** Requests as API Gateway's HTTP APIs and function URLs hand them over (payload format 2.0), and replies. */
import * as z from 'zod'
import { AppError, problem } from '#core/error.ts'
import { signedPath, TOKEN_HEADER } from '#core/internal/signing.ts'

/** Lambda takes replies up to 6 MB as JSON around them; what is longer would be a fault without words. */
const REPLY_BYTES_MAX = 6_291_456 - 65_536

const event = z.object({
  version: z.literal('2.0'),
  rawPath: z.string(),
  rawQueryString: z.string().default(''),
  headers: z.record(z.string(), z.string()).default({}),
  requestContext: z.object({ http: z.object({ method: z.string() }) }),
  body: z.string().optional(),
  isBase64Encoded: z.boolean().default(false),
})
export type ApiReply = {
  statusCode: number
  headers: Record<string, string>
  body: string
  isBase64Encoded: boolean
}

/**
 * The gateway hands the path over decoded, and cut at a `?` that was encoded; what was signed is the path as
 * it was sent, so that the token's is taken. A token that was not made for it does not verify.
 */
export function requestOf(given: unknown): Request {
  const { success, data, error } = event.safeParse(given)
  if (!success) {
    throw new Error(
      `This function takes requests of API Gateway, payload format 2.0:\n${z.prettifyError(error)}`,
    )
  }
  const { headers, requestContext, body } = data
  const { method } = requestContext.http
  const query = data.rawQueryString === '' ? '' : `?${data.rawQueryString}`
  const path = signedPath(headers[TOKEN_HEADER]) ?? data.rawPath + query
  const bytes = Buffer.from(body ?? '', data.isBase64Encoded ? 'base64' : 'utf8')
  const hasBody = method !== 'GET' && method !== 'HEAD'
  const init = { method, headers, body: hasBody ? bytes : undefined }
  return new Request(new URL(path, 'http://functions'), init)
}

/** A reply that Lambda would refuse becomes one that says so. */
export async function replyOf(response: Response): Promise<ApiReply> {
  const bytes = Buffer.from(await response.arrayBuffer())
  const headers = Object.fromEntries(response.headers)
  const isText = /^(text\/|application\/([\w.-]+\+)?json)/.test(headers['content-type'] ?? '')
  const body = bytes.toString(isText ? 'utf8' : 'base64')
  if (Buffer.byteLength(JSON.stringify(body)) > REPLY_BYTES_MAX) {
    const limit = `${REPLY_BYTES_MAX} bytes`
    const refusal = new AppError('payload_too_large', {
      public: `The answer has ${bytes.length} bytes, more than the ${limit} that can be sent at once: ask for less, such as a smaller page.`,
    })
    const document = problem(refusal, 'unknown')
    return replyOf(
      Response.json(document, {
        status: document.status,
        headers: { 'content-type': 'application/problem+json' },
      }),
    )
  }
  return { statusCode: response.status, headers, body, isBase64Encoded: !isText }
}
