/** A client of S3, and what its errors mean. */
import { S3Client } from '@aws-sdk/client-s3'
import { AppError } from '#core/error.ts'

const TRIES_MAX = 5
const CONNECT_MS_MAX = 3_000
/** Without a byte. */
const SILENT_MS_MAX = 30_000
const SOCKETS_MAX = 200

/**
 * A client that tries again with full jitter what was throttled or lost. Region, endpoint and
 * credentials are the SDK's own to find.
 */
export function s3Client(): S3Client {
  return new S3Client({
    maxAttempts: TRIES_MAX,
    requestHandler: {
      connectionTimeout: CONNECT_MS_MAX,
      socketTimeout: SILENT_MS_MAX,
      httpsAgent: { maxSockets: SOCKETS_MAX },
      httpAgent: { maxSockets: SOCKETS_MAX },
    },
  })
}

/**
 * The same error as one of ours. What the SDK gave up on after its own tries may pass later; a bucket
 * that is not there, or that we may not use, stays so until somebody mends it.
 */
export function s3Fault(error: unknown): unknown {
  if (error instanceof AppError) return error
  const status = statusOf(error)
  const said = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  if (nameOf(error) === 'NoSuchBucket') {
    const internal = `S3 has no such bucket (${said}); GALLEY_BUCKET must be one of this account and region`
    return new AppError('internal', { internal, cause: error })
  }
  if (status === 403 || status === 401) {
    const internal = `S3 refused a request (${said}); the role needs s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on the bucket's objects, s3:ListBucket on the bucket, and the use of its key`
    return new AppError('internal', { internal, cause: error })
  }
  // Of what S3 was to copy.
  if (status === 412 || nameOf(error) === 'NoSuchKey') {
    return new AppError('conflict', {
      public: 'A part was replaced or removed while the upload was completed.',
      retryable: true,
      cause: error,
    })
  }
  // No status: nobody answered.
  const passing =
    status === 429 || (status ? status >= 500 : error instanceof Error && 'code' in error)
  if (!passing) return error
  return new AppError('unavailable', {
    public: 'The blob store cannot be reached now. Try again in a moment.',
    internal: `S3: ${said}`,
    retryable: true,
    cause: error,
  })
}

export function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : ''
}

export function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } })?.$metadata?.httpStatusCode
}
