/** The single-writer objects of one machine, in a process of their own: a commit blocks it. */
import { openSigner, openVerifier } from '#core/internal/signing.ts'
import { openLog } from '#platform/log.ts'
import { OBJECT_CLASSES } from '#platform/objects/classes.ts'
import { httpDelivery, withDelivery } from '#platform/objects/delivery.ts'
import { serveObjects } from '#platform/objects/serve.ts'
import { openObjects } from '#platform/objects/sqlite.ts'
import { endWithParent, reportReady } from '#platform/parent.ts'
import { readObjectsEnv } from './env.ts'
import { serveHttp } from './http-host.ts'

const env = readObjectsEnv()
const clock = { now: () => Date.now() }
const log = openLog({ place: 'objects', clock })
const files = openObjects({ folder: env.folder, classes: OBJECT_CLASSES, clock, log })
const host = withDelivery(files, {
  folder: env.folder,
  deliver: httpDelivery({
    origin: env.functionsUrl,
    signer: await openSigner('edge', env.edgeKey),
    clock,
  }),
  log,
})
const verifier = await openVerifier({ edge: env.edgeKey, functions: env.functionsKey })
const fetch = serveObjects({ host, verifier, clock, log })
const server = await serveHttp({ host: '127.0.0.1', port: env.port, fetch })

endWithParent(async why => {
  if (why === 'stop') await server.close()
  await host.close()
  files.close()
})
reportReady()
