/** The whole product, started once as a newcomer starts it, for every end-to-end test. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TestProject } from 'vitest/node'
import { startReceiver } from '#tests/otlp-receiver.ts'
import { startCloud } from '../cloud/servers.ts'
import type { Product } from './product.ts'

declare module 'vitest' {
  interface ProvidedContext {
    product: Product
  }
}

const START = fileURLToPath(new URL('../../local/start.ts', import.meta.url))

export default async function setup(project: TestProject) {
  const dataFolder = mkdtempSync(join(tmpdir(), 'galley-e2e-'))
  const edge = process.env.GALLEY_EDGE ?? 'node'
  const queue = process.env.GALLEY_E2E_QUEUE ?? 'postgres'
  const blob = process.env.GALLEY_E2E_BLOB ?? 'folder'
  // Servers of SQS and S3 that only this run knows of.
  const cloud = queue === 'sqs' || blob === 's3' ? await startCloud() : null
  const port = await freePort()
  const receiver = await startReceiver()
  // What its callers trace is traced, and nothing else.
  const traced = {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_TRACES_SAMPLER: 'parentbased_always_off',
  }
  // As where a pool of machines with a GPU is at zero: none is up until a test starts one.
  const supplied = { GALLEY_RUNNER_CLASSES: 'gpu' }
  const child = spawn(
    process.execPath,
    [START, '--data', dataFolder, '--port', String(port), ...engines({ edge, queue, blob })],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...cloud?.env, ...traced, ...supplied },
    },
  )
  let printed = ''
  child.stdout!.on('data', chunk => {
    printed += chunk
  })
  const ready = Promise.race([
    new Promise<void>(resolve => {
      child.stdout!.on('data', () => /^ready/m.test(printed) && resolve())
    }),
    once(child, 'exit').then(() =>
      Promise.reject(new Error(`the product did not start: ${printed}`)),
    ),
  ])
  await ready.catch(async error => {
    await cloud?.close()
    throw error
  })
  const { url, grpc, key } = JSON.parse(readFileSync(join(dataFolder, 'local.json'), 'utf8'))
  project.provide('product', {
    url,
    grpc,
    key,
    dataFolder,
    pid: child.pid!,
    edge,
    otlp: receiver.url,
  })
  return async () => {
    child.kill('SIGINT')
    await once(child, 'exit')
    await receiver.close()
    rmSync(dataFolder, { recursive: true, force: true })
    await cloud?.close()
  }
}

function engines(flags: Record<string, string>): string[] {
  return Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])
}

function freePort(): Promise<number> {
  return new Promise(resolve => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}
