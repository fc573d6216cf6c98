/** The single-writer objects of one machine, in a process of their own: a commit blocks it. */
import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { openSigner, openVerifier } from '#core/internal/signing.ts'
import { openLog } from '#platform/log.ts'
import { measureProcess } from '#platform/metrics/process.ts'
import { Registry } from '#platform/metrics/registry.ts'
import { answerObjects } from '#platform/objects/channel.ts'
import { OBJECT_CLASSES } from '#platform/objects/classes.ts'
import { httpDelivery, withDelivery } from '#platform/objects/delivery.ts'
import { openObjectMeasures } from '#platform/objects/measures.ts'
import { openObjects } from '#platform/objects/sqlite.ts'
import { endWithParent, reportReady } from '#platform/parent.ts'
import { readObjectsEnv } from './env.ts'

const env = readObjectsEnv()
const clock = { now: () => Date.now() }
const log = openLog({ place: 'objects', clock })
const registry = new Registry()
measureProcess(registry)
const measures = openObjectMeasures(registry)
const files = openObjects({ folder: env.folder, classes: OBJECT_CLASSES, clock, log, measures })
const host = withDelivery(files, {
  folder: env.folder,
  deliver: httpDelivery({
    origin: env.functionsUrl,
    signer: await openSigner('edge', env.edgeKey),
    clock,
  }),
  log,
})
const measured = () => registry.snapshot()
const verifier = await openVerifier({ edge: env.edgeKey, functions: env.functionsKey })
rmSync(env.socket, { force: true })
const server = createServer(stream =>
  answerObjects(stream, { host, measured, verifier, clock, log }),
)
await new Promise<void>(resolve => server.listen(env.socket, resolve))

endWithParent(async () => {
  server.close()
  await host.close()
  files.close()
})
reportReady()
