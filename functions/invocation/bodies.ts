/** Blobs alone: apart from the files of the log, which bring DuckDB with them. */
import type { Blobs } from '#core/deps.ts'
import { s3Blobs } from '#platform/blob/s3.ts'
import { s3Client } from '#platform/blob/s3-client.ts'

export function plainBlobs(bucket: string): Blobs {
  // No file is asked for, so that the folder is never made.
  return s3Blobs({ client: s3Client(), bucket, cacheFolder: '/tmp/galley/none' })
}
