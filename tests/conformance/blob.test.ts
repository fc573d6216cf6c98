/** The blob suite over the folder, and over the wire in front of it. */
import { mkdtempSync, rmSync } from 'node:fs'
import type { Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { withLocalFiles } from '#platform/blob/cache.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { remoteBlobs } from '#platform/blob/remote.ts'
import { serveBlobs } from '#platform/blob/serve.ts'
import { blobSuite } from './blob.ts'
import { BLOB_ENGINES } from './engines.ts'

function temporary() {
  const root = mkdtempSync(join(tmpdir(), 'galley-blobs-'))
  return { root, remove: async () => rmSync(root, { recursive: true, force: true }) }
}

blobSuite({
  name: 'folder',
  flags: BLOB_ENGINES.folder,
  async fresh() {
    const { root, remove } = temporary()
    return { blobs: folderBlobs({ root }), close: remove }
  },
})

blobSuite({
  name: 'remote',
  flags: BLOB_ENGINES.remote,
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
