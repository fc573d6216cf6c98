/** The blob suite over every engine. */
import { mkdtempSync, rmSync } from 'node:fs'
import type { Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { serve } from '@hono/node-server'
import { afterAll, beforeAll } from 'vitest'
import { withLocalFiles } from '#platform/blob/cache.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { remoteBlobs } from '#platform/blob/remote.ts'
import { s3Blobs } from '#platform/blob/s3.ts'
import { serveBlobs } from '#platform/blob/serve.ts'
import { blobSuite } from './blob.ts'
import { type CloudServer, startCloudServer } from './cloud.ts'

let cloud: CloudServer
let buckets = 0
beforeAll(async () => {
  cloud = await startCloudServer()
})
afterAll(() => cloud.close())

function temporary() {
  const root = mkdtempSync(join(tmpdir(), 'galley-blobs-'))
  return { root, remove: async () => rmSync(root, { recursive: true, force: true }) }
}

blobSuite({
  name: 'folder',
  async fresh() {
    const { root, remove } = temporary()
    return { blobs: folderBlobs({ root }), close: remove }
  },
})

blobSuite({
  name: 'remote',
  async fresh() {
    const { root, remove } = temporary()
    const handler = serveBlobs({ blobs: folderBlobs({ root: join(root, 'served') }), path: '/b' })
    const server = await new Promise<HttpServer>(resolve => {
      const made = serve({ fetch: handler, port: 0, hostname: '127.0.0.1' }, () =>
        resolve(made as HttpServer),
      )
    })
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/b`
    const close = async () => {
      server.closeAllConnections()
      server.close()
      await remove()
    }
    return { blobs: withLocalFiles(remoteBlobs({ url }), { folder: join(root, 'cache') }), close }
  },
})

blobSuite({
  name: 's3',
  async fresh() {
    const { root, remove } = temporary()
    const client = new S3Client({ ...cloud.clientConfig, forcePathStyle: true })
    const bucket = `blobs-${buckets++}`
    await client.send(new CreateBucketCommand({ Bucket: bucket }))
    const close = async () => {
      client.destroy()
      await remove()
    }
    return { blobs: s3Blobs({ client, bucket, cacheFolder: root, prefix: 'stage/' }), close }
  },
})
