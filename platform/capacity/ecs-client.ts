/** A client of ECS, and what its errors mean. */
import { ECSClient } from '@aws-sdk/client-ecs'
import { AppError } from '#core/error.ts'

const TRIES_MAX = 5
const CONNECT_MS_MAX = 3_000
const ANSWER_MS_MAX = 10_000

const THROTTLED = /Throttl|TooManyRequests|LimitExceeded/i
const MISSING = /^(ClusterNotFound|ServiceNotFound|ServiceNotActive)Exception$/
const FORBIDDEN =
  /AccessDenied|InvalidClientTokenId|UnrecognizedClient|SignatureDoesNotMatch|ExpiredToken/

/**
 * A client that tries again with full jitter what was throttled or lost. Region, endpoint and credentials are the
 * SDK's own to find.
 */
export function ecsClient(): ECSClient {
  return new ECSClient({
    maxAttempts: TRIES_MAX,
    requestHandler: { connectionTimeout: CONNECT_MS_MAX, socketTimeout: ANSWER_MS_MAX },
  })
}

/** `cluster/service`, as it is named to the operator. */
export function noService(place: string, said: string, cause?: unknown): AppError {
  const internal = `ECS has no service ${place} (${said}); GALLEY_RUNNER_CLUSTER and GALLEY_RUNNER_POOLS must name those of this account and region`
  return new AppError('internal', { internal, cause })
}

/**
 * The same error as one of ours. What the SDK gave up on after its own tries may pass later; a service that is not
 * there, or that we may not use, stays so until somebody mends it.
 */
export function ecsFault(error: unknown, action: string, place: string): unknown {
  if (error instanceof AppError) return error
  const name = error instanceof Error ? error.name : ''
  const said = `${name}: ${error instanceof Error ? error.message : error}`
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode
  if (MISSING.test(name)) return noService(place, said, error)
  const isThrottled = THROTTLED.test(name)
  if (!isThrottled && (status === 403 || FORBIDDEN.test(name))) {
    const internal = `ECS refused ${action} on ${place} (${said}); the role needs ecs:${action} on it`
    return new AppError('internal', { internal, cause: error })
  }
  if (!isThrottled && status && status < 500 && status !== 429) return error
  return new AppError('unavailable', {
    public: 'The runners cannot be reached now. Try again in a moment.',
    internal: `ECS, ${action} on ${place}: ${said}`,
    retryable: true,
    cause: error,
  })
}
