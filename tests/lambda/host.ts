/**
 * A host that speaks Lambda's Runtime API (2018-06-01) to one bundle: a process in a folder with the bundle's
 * files alone, stopped as soon as it asks for the next invocation and until there is one, and ended at its
 * time-out. Payloads have Lambda's limit.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const BOOTSTRAP = fileURLToPath(new URL('./bootstrap.mjs', import.meta.url))
export const PAYLOAD_BYTES_MAX = 6_291_556
/** Of the phase before the first invocation. */
const INIT_MS_MAX = 10_000

export type Outcome = { value: unknown } | { fault: { errorType: string; errorMessage: string } }
export type Host = {
  /** From the start of the process until it asks for its first invocation. Throws what failed before. */
  initMs: Promise<number>
  /** One at a time, as Lambda does it. */
  invoke(event: unknown): Promise<Outcome>
  /** Stopped, and so without any work. */
  isFrozen(): boolean
  pid(): number
  output(): string
  close(): Promise<void>
}
export type HostOptions = {
  bundle: string
  name: string
  timeoutS: number
  env: Record<string, string>
}

export async function startHost(o: HostOptions): Promise<Host> {
  const folder = mkdtempSync(join(tmpdir(), 'galley-lambda-'))
  const task = join(folder, 'task')
  cpSync(o.bundle, task, { recursive: true })
  const init = Promise.withResolvers<number>()
  init.promise.catch(() => {})
  let child: ChildProcess
  let next: ServerResponse | null = null
  let pending: { id: string; settle(outcome: Outcome): void } | null = null
  let asked = Promise.withResolvers<void>()
  let output = ''
  let frozen = false
  let startedAt = 0
  let made = 0

  const server = createServer((request, response) => {
    void answer(request, response).catch(error => response.destroy(error))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const api = `127.0.0.1:${(server.address() as AddressInfo).port}`
  start()

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!.replace('/2018-06-01/runtime', '')
    if (path === '/invocation/next') {
      init.resolve(Math.round(performance.now() - startedAt))
      next = response
      child.kill('SIGSTOP')
      frozen = true
      return asked.resolve()
    }
    const body = await textOf(request)
    response.writeHead(202).end('{"status":"OK"}')
    if (path === '/init/error') return init.reject(new Error(JSON.parse(body).errorMessage))
    const [, id, kind] = /^\/invocation\/([\w-]+)\/(response|error)$/.exec(path) ?? []
    if (!pending || id !== pending.id) throw new Error(`${path} is for no invocation of now`)
    const { settle } = pending
    pending = null
    if (kind === 'error') settle({ fault: JSON.parse(body) })
    else if (Buffer.byteLength(body) > PAYLOAD_BYTES_MAX) {
      settle({
        fault: { errorType: 'Function.ResponseSizeTooLarge', errorMessage: tooLarge(body) },
      })
    } else settle({ value: JSON.parse(body) })
  }

  function start(): void {
    startedAt = performance.now()
    child = spawn(process.execPath, [BOOTSTRAP], {
      cwd: task,
      env: {
        NODE_OPTIONS: '--enable-source-maps',
        ...o.env,
        TZ: ':UTC',
        LAMBDA_TASK_ROOT: task,
        _HANDLER: 'index.handler',
        AWS_LAMBDA_RUNTIME_API: api,
        AWS_LAMBDA_FUNCTION_NAME: o.name,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on('data', chunk => {
        output += chunk
      })
    }
    const late = setTimeout(() => child.kill('SIGKILL'), INIT_MS_MAX)
    init.promise.then(
      () => clearTimeout(late),
      () => clearTimeout(late),
    )
    child.on('exit', (code, signal) => {
      init.reject(new Error(`ended with ${signal ?? code} before it was ready:\n${output}`))
      pending?.settle({
        fault: { errorType: 'Runtime.ExitError', errorMessage: output.slice(-500) },
      })
    })
  }

  return {
    initMs: init.promise,
    async invoke(event) {
      const payload = JSON.stringify(event)
      if (Buffer.byteLength(payload) > PAYLOAD_BYTES_MAX) {
        return { fault: { errorType: 'RequestTooLarge', errorMessage: tooLarge(payload) } }
      }
      await init.promise
      await asked.promise
      asked = Promise.withResolvers()
      const id = `invocation-${made++}`
      const settled = Promise.withResolvers<Outcome>()
      pending = { id, settle: settled.resolve }
      const deadlineMs = Date.now() + o.timeoutS * 1_000
      frozen = false
      child.kill('SIGCONT')
      next!.writeHead(200, {
        'content-type': 'application/json',
        'lambda-runtime-aws-request-id': id,
        'lambda-runtime-deadline-ms': String(deadlineMs),
        'lambda-runtime-trace-id': 'Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0',
        'lambda-runtime-invoked-function-arn': `arn:aws:lambda:eu-central-1:123456789012:function:${o.name}`,
      })
      next!.end(payload)
      const timeout = setTimeout(() => child.kill('SIGKILL'), o.timeoutS * 1_000)
      // Frozen again before anybody looks at what it did.
      const outcome = await settled.promise
      clearTimeout(timeout)
      if (!('fault' in outcome && outcome.fault.errorType === 'Runtime.ExitError'))
        await asked.promise
      return outcome
    },
    isFrozen: () => frozen,
    pid: () => child.pid!,
    output: () => output,
    async close() {
      const ended = new Promise(resolve => child.once('exit', resolve))
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
        await ended
      }
      server.closeAllConnections()
      server.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function tooLarge(payload: string): string {
  return `${Buffer.byteLength(payload)} byte payload is too large for the ${PAYLOAD_BYTES_MAX} byte limit`
}
