/**
 * The functions by Lambda's Invoke API: for who is inside of AWS and has a role, without the gateway. A
 * request travels as API Gateway hands it over (payload format 2.0), so that the function is the same.
 */
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda'
import * as z from 'zod'
import { AppError } from '#core/error.ts'
import type { Functions } from './open.ts'

/** Of a synchronous invocation, as Lambda documents it. */
const PAYLOAD_BYTES_MAX = 6_291_456
const TRIES_MAX = 5
const CONNECT_MS_MAX = 3_000
/** Above the longest that a function may take. */
const ANSWER_MS_MAX = 60_000
const SOCKETS_MAX = 50

const replySchema = z.object({
  statusCode: z.number().int(),
  headers: z.record(z.string(), z.string()).default({}),
  body: z.string().default(''),
  isBase64Encoded: z.boolean().default(false),
})

/** A client that tries again with full jitter what was throttled or never began. */
export function lambdaClient(): LambdaClient {
  return new LambdaClient({
    maxAttempts: TRIES_MAX,
    requestHandler: {
      connectionTimeout: CONNECT_MS_MAX,
      socketTimeout: ANSWER_MS_MAX,
      httpsAgent: { maxSockets: SOCKETS_MAX },
      httpAgent: { maxSockets: SOCKETS_MAX },
    },
  })
}

/**
 * Throws `payload_too_large`, a retryable `unavailable` when the function did not answer or was ended,
 * and `internal` when there is no such function, it may not be invoked, or it failed.
 */
export function invokedFunctions(o: { client: LambdaClient; name: string }): Functions {
  return async request => {
    const Payload = await payloadOf(request)
    const command = new InvokeCommand({ FunctionName: o.name, Payload })
    const { signal } = request
    const { FunctionError, Payload: given } = await o.client
      .send(command, { abortSignal: signal })
      .catch(error => {
        throw signal.aborted ? signal.reason : invokeFault(error, o.name)
      })
    const text = new TextDecoder().decode(given)
    if (FunctionError) throw functionFault(text, o.name)
    return responseOf(text, o.name)
  }
}

async function payloadOf(request: Request): Promise<string> {
  const { pathname, search } = new URL(request.url)
  const body = Buffer.from(await request.arrayBuffer())
  const payload = JSON.stringify({
    version: '2.0',
    rawPath: pathname,
    rawQueryString: search.slice(1),
    headers: Object.fromEntries(request.headers),
    requestContext: { http: { method: request.method } },
    body: body.length > 0 ? body.toString('base64') : undefined,
    isBase64Encoded: true,
  })
  if (payload.length > PAYLOAD_BYTES_MAX) {
    throw new AppError('payload_too_large', {
      public: `The request has ${body.length} bytes, more than a function takes at once: send less, in several.`,
    })
  }
  return payload
}

function responseOf(text: string, name: string): Response {
  const { success, data } = replySchema.safeParse(jsonOf(text))
  if (!success) {
    const internal = `Lambda: ${name} answered what is no reply of an API: ${text.slice(0, 200)}`
    throw new AppError('internal', { internal })
  }
  const { statusCode: status, headers, isBase64Encoded } = data
  const body = Buffer.from(data.body, isBase64Encoded ? 'base64' : 'utf8')
  const isBare = status === 204 || status === 304
  return new Response(isBare ? null : body, { status, headers })
}

/** Ended by its time-out or by its memory, it may pass next time; what it threw itself is a fault of it. */
function functionFault(text: string, name: string): AppError {
  const { errorType = '', errorMessage = '' } = (jsonOf(text) ?? {}) as Record<string, string>
  const said = `${errorType} ${errorMessage}`.trim()
  const internal = `Lambda: ${name} failed: ${said || text.slice(0, 200)}`
  const wasEnded = /Task timed out|Runtime\.ExitError|Sandbox\.Timedout|OutOfMemory/.test(said)
  return wasEnded ? unavailable(internal) : new AppError('internal', { internal })
}

function invokeFault(error: unknown, name: string): unknown {
  const code = error instanceof Error ? error.name : ''
  const said = `${code}: ${error instanceof Error ? error.message : error}`
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode
  if (code === 'ResourceNotFoundException') {
    const internal = `Lambda has no function ${name} (${said}); the URL of the functions is lambda://<name> of this account and region`
    return new AppError('internal', { internal, cause: error })
  }
  if (code === 'RequestTooLargeException') return new AppError('payload_too_large')
  if (status === 403) {
    const internal = `Lambda refused to invoke ${name} (${said}); the role needs lambda:InvokeFunction on it`
    return new AppError('internal', { internal, cause: error })
  }
  const passing = /TooManyRequests|Throttl/.test(code) || status === undefined || status >= 500
  return passing ? unavailable(`Lambda, ${name}: ${said}`, error) : error
}

function unavailable(internal: string, cause?: unknown): AppError {
  return new AppError('unavailable', {
    public: 'The control API does not answer; try again in a moment.',
    internal,
    retryable: true,
    retryAfterS: 1,
    cause,
  })
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
