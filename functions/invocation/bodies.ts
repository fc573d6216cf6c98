/** Blobs for bodies of messages alone: apart from the files of the log, which bring DuckDB with them. */
import { s3Blobs } from '#platform/blob/s3.ts'
import { s3Client } from '#platform/blob/s3-client.ts'
import type { BodyBlobs } from '#platform/queue/bodies.ts'

export function bodyBlobs(bucket: string): BodyBlobs {
  // No file is asked for, so that the folder is never made.
  return s3Blobs({ client: s3Client(), bucket, cacheFolder: '/tmp/galley/bodies' })
}
