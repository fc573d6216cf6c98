/** Router and runner out of their images, with what they need of a deployment around them. */
import { createHash } from 'node:crypto'
import { chownSync, existsSync, readdirSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as blobKeys from '#core/blob-keys.ts'
import type { InferenceCall, Servable } from '#core/deps.ts'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import { remoteRouter } from '#edge/remote-router.ts'
import { freePorts } from '#local/ports.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { newId } from '#schemas/ids.ts'
import { callOf, systemClock as clock } from '#tests/caller.ts'
import { mlp } from '#tests/models.ts'
import { type Container, type Image, startContainer, USER } from './image.ts'
import { livesAt } from './lives.ts'

const SECRET = 'a secret of a deployment that is none'
const READY_MS_MAX = 60_000
const ENDS_MS_MAX = 30_000

/** What it has seen to hold, a line each. Throws at the first that does not, with what the containers said. */
export async function serveOnce(images: { runner: Image; router: Image }): Promise<string[]> {
  const functions = await startFunctions()
  const [http, channel, health, grpc] = (await freePorts(4)) as [number, number, number, number]
  const [edgeKey, runnerKey] = [await placeKey(SECRET, 'edge'), await placeKey(SECRET, 'runner')]
  const { call, tenantId } = callFor()
  const servable = await storeModel(images.runner, tenantId)
  const router = startContainer(images.router, {
    env: {
      GALLEY_EDGE_KEY: edgeKey,
      GALLEY_RUNNER_KEY: runnerKey,
      GALLEY_FUNCTIONS_URL: functions.url,
      GALLEY_FEATURES_URL: functions.url,
      GALLEY_ROUTER_PORT: String(http),
      GALLEY_CHANNEL_PORT: String(channel),
      GALLEY_HOST: '0.0.0.0',
      GALLEY_GRPC_PORT: String(grpc),
    },
  })
  const runner = startContainer(images.runner, {
    env: {
      GALLEY_RUNNER_KEY: runnerKey,
      GALLEY_FUNCTIONS_URL: functions.url,
      GALLEY_ROUTER: `127.0.0.1:${channel}`,
      GALLEY_HEALTH_PORT: String(health),
      GALLEY_STOP_S: '20',
    },
  })
  const both = { router, runner }
  const shown: string[] = []
  try {
    await until(both, 'the router to be ready', () => isOk(`http://127.0.0.1:${http}/health/ready`))
    await until(both, 'the runner to be ready', () =>
      isOk(`http://127.0.0.1:${health}/health/ready`),
    )
    shown.push('both live, and are ready once the runner has dialled the router by TLS')
    const status = await livesAt(grpc)
    if (status !== '0') throw new Error(`asked over gRPC whether it lives, it said ${status}`)
    shown.push('the router says over gRPC that it lives, to whoever has no key')
    const signer = await openSigner('edge', edgeKey)
    const asked = remoteRouter({ fetch, origin: `http://127.0.0.1:${http}`, signer, clock })
    const reply = await asked.infer({ ...call, model: servable }, null)
    const { outputs } = JSON.parse(Buffer.from(reply.body).toString())
    if (outputs[0].shape.join() !== '1,4') throw new Error(`answered ${Buffer.from(reply.body)}`)
    shown.push('a prediction goes through the router to the runner and back')
    await until(both, 'the receipt to be shipped', () =>
      functions.receipts().includes(reply.receiptId),
    )
    shown.push('its receipt is shipped')
    for (const [name, image] of Object.entries(images))
      shown.push(await writesNowhereElse(name, image))
    for (const [name, container] of Object.entries({ runner, router })) {
      shown.push(await stops(name, container))
    }
    return shown
  } catch (error) {
    throw new Error(`${error}\nrouter: ${router.output()}\nrunner: ${runner.output()}`)
  } finally {
    for (const { child } of Object.values(both)) child.kill('SIGKILL')
    functions.close()
  }
}

/** As many of the functions as a runner without work meets: receipts are kept, nothing is in a queue. */
async function startFunctions() {
  let receipts = ''
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    if (request.url === '/internal/receipts') receipts += text
    if (request.url === '/internal/queue') await sleep(200)
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"messages":[]}')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, receipts: () => receipts, close }
}

function callFor() {
  const tenantId = newId('tenant')
  const body = { inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }] }
  const call: Omit<InferenceCall, 'model'> = {
    call: callOf(tenantId),
    body: Buffer.from(JSON.stringify(body)),
    jsonLength: null,
    deadline: clock.now() + 60_000,
  }
  return { call, tenantId }
}

/** Puts a model where the runner looks for blobs, and says what the edge would say of it. */
async function storeModel({ scratch }: Image, tenantId: ReturnType<typeof newId<'tenant'>>) {
  const graph = mlp(1, [4, 4])
  const sha256 = createHash('sha256').update(graph).digest('hex')
  const blobs = folderBlobs({ root: join(scratch, 'blobs') })
  await blobs.put(blobKeys.file(tenantId, sha256), graph)
  giveTo(scratch)
  const of = (name: string) => ({ name, datatype: 'FP32', shape: [-1, 4], batch_axis: 0 })
  return {
    model: 'm',
    version: 1,
    digest: sha256,
    manifest: { graph: 'm.onnx', files: [{ path: 'm.onnx', sha256, size: graph.length }] },
    signature: { inputs: [of('x')], outputs: [of('y')], batching: 'unbatched' },
  } as unknown as Servable
}

function giveTo(path: string): void {
  chownSync(path, USER, USER)
  if (!statSync(path).isDirectory()) return
  for (const name of readdirSync(path)) giveTo(join(path, name))
}

/** A process in the same image tries to write; what it could write is named. */
async function writesNowhereElse(name: string, image: Image): Promise<string> {
  const places = ['/', '/app', '/app/gpu-runners', '/app/node_modules', '/usr', '/etc', '/node']
  const script = places
    .map(path => `( : > ${path}/x-written ) 2>/dev/null && echo ${path}`)
    .join('\n')
  const command = ['sh', '-c', `${script}\n: > /scratch/written && echo id $(id -u)`]
  const tried = startContainer(image, { env: {}, command })
  await tried.ended
  if (!tried.output().endsWith(`id ${USER}\n`) || !existsSync(join(image.scratch, 'written'))) {
    throw new Error(`${name}: /scratch cannot be written: ${tried.output()}`)
  }
  const written = tried
    .output()
    .split('\n')
    .filter(line => line.startsWith('/'))
  if (written.length > 0) throw new Error(`${name} may write to ${written.join(', ')}`)
  return `${name}: user ${USER} writes to /scratch and nowhere else`
}

async function stops(name: string, { child, ended }: Container): Promise<string> {
  child.kill('SIGTERM')
  const code = await Promise.race([ended, sleep(ENDS_MS_MAX, 'late' as const, { ref: false })])
  if (code !== 0) throw new Error(`${name} ended with ${code} on SIGTERM`)
  return `${name}: SIGTERM ends it with 0`
}

async function until(
  both: Record<string, Container>,
  what: string,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const late = performance.now() + READY_MS_MAX
  while (!(await holds())) {
    const dead = Object.entries(both).find(([, { child }]) => child.exitCode !== null)
    if (dead) throw new Error(`the ${dead[0]} ended while waiting for ${what}`)
    if (performance.now() > late) throw new Error(`waited in vain for ${what}`)
    await sleep(50)
  }
}

async function isOk(url: string): Promise<boolean> {
  const response = await fetch(url).catch(() => null)
  await response?.body?.cancel()
  return response?.ok === true
}
