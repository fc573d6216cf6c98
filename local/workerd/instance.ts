/** The bundle in workerd: on a socket of its own, its objects and its KV in a folder. */
import { createRequire } from 'node:module'
import type { Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Bundle } from './bundle.ts'

/** Part of the objects' path on disk: with another name they would begin anew. */
const WORKER_NAME = 'galley-edge'

export type WorkerdOptions = {
  bundle: Bundle
  host: string
  /** 0: a free one. */
  port: number
  /** Of durable objects and KV. */
  folder: string
  /** Gone after a restart. */
  temporaryFolder: string
  /** Variables and secrets, as wrangler.toml names them. */
  bindings: { FUNCTIONS_URL: string; ROUTER_URL: string; BLOBS_URL: string; EDGE_KEY: string }
  log: Log
}
export type Workerd = {
  url: string
  /** The object of a tenant, for tests of the objects alone. */
  tenants: { leaseRate(name: string, input: unknown): Promise<unknown> }
  close(): Promise<void>
}

/** Starts workerd and resolves when it listens. It is started again when it dies. */
export async function startWorkerd(o: WorkerdOptions): Promise<Workerd> {
  const { Miniflare, convertV4MiniflareOptions } = loadMiniflare()
  const miniflare = new Miniflare({
    ...convertV4MiniflareOptions({
      name: WORKER_NAME,
      modules: [{ type: 'ESModule', path: 'worker.js', contents: o.bundle.script }],
      compatibilityDate: o.bundle.compatibilityDate,
      compatibilityFlags: o.bundle.compatibilityFlags,
      bindings: o.bindings,
      durableObjects: { TENANTS: { className: 'TenantObject', useSQLite: true } },
      kvNamespaces: { KEYS: 'keys' },
      // Straight into workerd: the entry port of Miniflare costs four times as much.
      unsafeDirectSockets: [{ host: o.host, port: o.port }],
      cf: false,
      telemetry: { enabled: false },
      log: miniflareLog(o.log),
      logRequests: false,
    }),
    resourcePersistencePath: o.folder,
    resourceTmpPath: o.temporaryFolder,
    handleStructuredLogs: ({ level, message }) => pass(o.log, level, message),
  })
  await miniflare.ready
  const { origin } = await miniflare.unsafeGetDirectURL(WORKER_NAME)
  return {
    url: origin,
    tenants: {
      async leaseRate(name, input) {
        // Asked for anew each time: a stub does not outlive a restart.
        const namespace = await miniflare.getDurableObjectNamespace('TENANTS')
        // biome-ignore lint/suspicious/noExplicitAny: the type lives in the bundle
        const object = namespace.get(namespace.idFromName(name)) as any
        return object.leaseRate(input) as Promise<unknown>
      },
    },
    close: () => miniflare.dispose(),
  }
}

function miniflareLog(log: Log) {
  const { Log, LogLevel } = loadMiniflare()
  class Lines extends Log {
    override logWithLevel(level: number, message: string): void {
      if (level <= LogLevel.WARN) log.error('workerd', { message })
    }
  }
  return new Lines(LogLevel.WARN)
}

/** Lines of the worker's own log are JSON already; the rest is workerd's. */
function pass(log: Log, level: string, message: string): void {
  const write = level === 'error' ? log.error : log.info
  try {
    const {
      level: own,
      event,
      place: _,
      ...fields
    } = JSON.parse(message) as Record<string, unknown>
    const line = own === 'error' ? log.error : log.info
    line(String(event), fields)
  } catch {
    write('workerd', { message })
  }
}

function loadMiniflare(): typeof import('miniflare') {
  try {
    return createRequire(import.meta.url)('miniflare')
  } catch (cause) {
    throw new AppError('unavailable', {
      public: '--edge workerd needs the development dependencies: run "npm install" first.',
      cause,
    })
  }
}
