/** The bundle in workerd: on a socket of its own, its objects and its KV in a folder. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout as pause } from 'node:timers/promises'
import type { Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Bundle } from './bundle.ts'

/** Part of the objects' path on disk: with another name they would begin anew. */
const WORKER_NAME = 'galley-edge'
/** Less than a supervisor waits. */
const DRAIN_MS_MAX = 8_000
const DRAIN_STEP_MS = 20

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
  bindings: {
    FUNCTIONS_URL: string
    ROUTER_URL: string
    /** Not given: blobs by requests that the functions sign. */
    BLOBS_URL?: string
    EDGE_KEY: string
    FUNCTIONS_KEY: string
    PARTITIONS_PER_OBJECT: string
  } & Record<string, string>
  log: Log
}
export type Workerd = {
  url: string
  /** The object of a tenant, for tests of the objects alone. */
  tenants: { leaseRate(name: string, input: unknown): Promise<unknown> }
  /** The namespace of key records, for tests of it alone. */
  keys: {
    get(name: string): Promise<string | null>
    put(name: string, value: string, options: { expirationTtl: number }): Promise<void>
  }
  /** Ends the requests under way first, on systems that name their processes' children. */
  close(): Promise<void>
}

/** Starts workerd and resolves when it listens. It is started again when it dies. */
export async function startWorkerd(o: WorkerdOptions): Promise<Workerd> {
  const { Miniflare, convertV4MiniflareOptions } = loadMiniflare()
  let closing = false
  const miniflare = new Miniflare({
    ...convertV4MiniflareOptions({
      name: WORKER_NAME,
      modules: [{ type: 'ESModule', path: 'worker.js', contents: o.bundle.script }],
      compatibilityDate: o.bundle.compatibilityDate,
      compatibilityFlags: o.bundle.compatibilityFlags,
      bindings: o.bindings,
      durableObjects: {
        TENANTS: { className: 'TenantObject', useSQLite: true },
        FEATURES: { className: 'FeaturesObject', useSQLite: true },
      },
      kvNamespaces: { KEYS: 'keys' },
      // Straight into workerd: the entry port of Miniflare costs four times as much.
      unsafeDirectSockets: [{ host: o.host, port: o.port }],
      cf: false,
      telemetry: { enabled: false },
      log: miniflareLog(message => closing || o.log.error('workerd', { message })),
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
    keys: {
      get: async name => (await miniflare.getKVNamespace('KEYS')).get(name, 'text'),
      put: async (...record) => (await miniflare.getKVNamespace('KEYS')).put(...record),
    },
    async close() {
      closing = true
      await drained()
      await miniflare.dispose()
    },
  }
}

function miniflareLog(warn: (message: string) => void) {
  const { Log, LogLevel } = loadMiniflare()
  class Lines extends Log {
    override logWithLevel(level: number, message: string): void {
      if (level <= LogLevel.WARN) warn(message)
    }
  }
  return new Lines(LogLevel.WARN)
}

/** workerd answers what it has begun when it is told to end; Miniflare would kill it. */
async function drained(): Promise<void> {
  const pids = workerdPids()
  for (const pid of pids) process.kill(pid, 'SIGTERM')
  for (let waitedMs = 0; waitedMs < DRAIN_MS_MAX; waitedMs += DRAIN_STEP_MS) {
    if (!workerdPids().some(pid => pids.includes(pid))) return
    await pause(DRAIN_STEP_MS)
  }
}

function workerdPids(): number[] {
  try {
    const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
    const pids = children.split(' ').filter(Boolean).map(Number)
    return pids.filter(pid => readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'workerd')
  } catch {
    return []
  }
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
