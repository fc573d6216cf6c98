/**
 * Decisions reach the log from the object that made them, not from the edge that asked: what an object
 * has committed is told until it was heard, whoever died meanwhile.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, Log } from '#core/deps.ts'
import { decidedMessage, type Outgoing } from '#core/features/partition-object.ts'
import { type Signer, sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'
import type { ObjectHost } from './sqlite.ts'

const CLASS = 'features'
const PATH = '/internal/events/decided'
const BATCH_MAX = 200
/** Decisions of this long share one delivery. */
const GATHER_MS = 20
/** Longer than the functions take for anything. */
const ANSWER_MS_MAX = 35_000
const RETRY_FIRST_MS = 100
const RETRY_MAX_MS = 2_000

type Host = Pick<ObjectHost, 'call'>

/** Tells the functions what was decided. Throws until they have taken it. */
export type Deliver = (tenantId: string, decided: Outgoing[]) => Promise<void>

/** The host, with deliveries after its decisions; what was left by a dead one is delivered first. */
export function withDelivery(
  host: Host,
  o: { folder: string; deliver: Deliver; log: Log },
): Host & { close(): Promise<void> } {
  const waiting = new Set<string>()
  let running: Promise<void> | null = null
  let closed = false

  function note(name: string): void {
    waiting.add(name)
    running ??= deliverAll().finally(() => {
      running = null
      if (waiting.size > 0 && !closed) note([...waiting][0]!)
    })
  }

  async function deliverAll(): Promise<void> {
    let pauseMs = RETRY_FIRST_MS
    while (waiting.size > 0 && !closed) {
      await sleep(GATHER_MS)
      for (const name of [...waiting]) {
        waiting.delete(name)
        try {
          await deliverOne(host, name, o.deliver)
          pauseMs = RETRY_FIRST_MS
        } catch (error) {
          waiting.add(name)
          o.log.error('objects.not_delivered', { object: name, error: String(error) })
          await sleep(pauseMs)
          pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS)
        }
        if (closed) return
      }
    }
  }

  for (const name of namesIn(join(o.folder, CLASS))) note(name)
  return {
    async call(className, name, method, input) {
      const reply = await host.call(className, name, method, input)
      if (className === CLASS && method === 'decide') note(name)
      return reply
    },
    async close() {
      closed = true
      await running
    },
  }
}

async function deliverOne(host: Host, name: string, deliver: Deliver): Promise<void> {
  for (;;) {
    const input = { max: BATCH_MAX }
    const { decided } = (await host.call(CLASS, name, 'outgoing', input)) as { decided: Outgoing[] }
    if (decided.length === 0) return
    await deliver(name.slice(0, name.lastIndexOf('-')), decided)
    const places = decided.map(({ knownAt, endpoint }) => ({ knownAt, endpoint }))
    await host.call(CLASS, name, 'sent', { decided: places })
  }
}

/** Names of the objects that have a file. */
function namesIn(folder: string): string[] {
  const files = readdirSync(folder).filter(file => /^[a-z0-9_-]+\.[a-z]+$/.test(file))
  return [...new Set(files.map(file => file.slice(0, file.indexOf('.'))))]
}

/** Over HTTP to the functions, signed. */
export function httpDelivery(o: { origin: string; signer: Signer; clock: Clock }): Deliver {
  return async (tenantId, decided) => {
    const body = new TextEncoder().encode(decidedMessage(tenantId, decided))
    const claims = { call: null, method: 'POST', path: PATH, body: await sha256Hex(body) }
    const headers = { [TOKEN_HEADER]: await o.signer.sign(claims, o.clock.now()) }
    const signal = AbortSignal.timeout(ANSWER_MS_MAX)
    const response = await fetch(o.origin + PATH, { method: 'POST', headers, body, signal })
    const text = await response.text()
    if (!response.ok) throw new Error(`status ${response.status}: ${text.slice(0, 300)}`)
  }
}
