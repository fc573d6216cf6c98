/** The blob suite over S3, as each protocol server understands it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { S3Client } from '@aws-sdk/client-s3'
import { inject } from 'vitest'
import { s3Blobs } from '#platform/blob/s3.ts'
import { blobSuite } from '../../conformance/blob.ts'
import { BLOB_ENGINES } from '../../conformance/engines.ts'
import { clientConfig, freshBucket } from '../servers.ts'

for (const { name, endpoint } of inject('clouds')) {
  blobSuite({
    name: `s3 (${name})`,
    flags: BLOB_ENGINES[name],
    async fresh() {
      const cacheFolder = mkdtempSync(join(tmpdir(), 'galley-blobs-'))
      const client = new S3Client({
        ...clientConfig(endpoint),
        forcePathStyle: true,
        maxAttempts: 8,
      })
      const bucket = await freshBucket(client)
      const close = async () => {
        client.destroy()
        rmSync(cacheFolder, { recursive: true, force: true })
      }
      return { blobs: s3Blobs({ client, bucket, cacheFolder, prefix: 'stage/' }), close }
    },
  })
}
