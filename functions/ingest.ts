/**
 * The queue of events: what the edge has acknowledged, into the log and to the objects. Messages that
 * arrive together share a transaction; one that fails comes back alone.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { recordSnapshots } from '#core/decisions/decisions.ts'
import type { Message } from '#core/deps.ts'
import { inFull } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import type { TraceContext } from '#core/trace.ts'
import type { Snapshot } from '#schemas/decision.ts'
import type { Event } from '#schemas/event.ts'
import type { TenantId } from '#schemas/ids.ts'
import { QUEUES } from '#schemas/queues.ts'
import type { FunctionsDeps } from './deps.ts'
import { tracedBatch } from './traces/batches.ts'

/** Under what SQS takes, with room for what is around it. */
const MESSAGE_BYTES_MAX = 200_000
const WAIT_S = 20
const PAUSE_MS = 500

type Body = { tenantId: TenantId; events: Event[] }

/** Durable when it resolves. `trace`: of who asks, where that is traced; its messages have it. */
export async function accept(
  deps: Pick<FunctionsDeps, 'queue'>,
  input: { tenantId: TenantId; events: Event[]; trace?: TraceContext },
): Promise<void> {
  const { tenantId, trace } = input
  const from = trace ? `,"trace":${JSON.stringify(trace)}` : ''
  const messages = chunksOf(input.events).map(chunk => ({
    body: `{"tenantId":${JSON.stringify(tenantId)},"events":[${chunk.join(',')}]${from}}`,
  }))
  await deps.queue.send('events', messages)
}

/** Takes what there is, until the signal fires. */
export async function ingestQueue(deps: FunctionsDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const options = { max: QUEUES.events.batchMax, waitS: WAIT_S, signal }
      const messages = await deps.queue.receive('events', options)
      if (messages.length === 0) continue
      await ingestMessages(deps, messages, taken =>
        deps.queue.delete(
          'events',
          taken.map(({ receipt }) => receipt),
        ),
      )
    } catch (error) {
      if (signal.aborted) return
      deps.log.error('events.not_received', { error: String(error) })
      await sleep(PAUSE_MS, undefined, { signal }).catch(() => {})
    }
  }
}

/** What a decision has applied already: into the log with its snapshot, then to its other entities. */
export async function ingestDecided(
  deps: FunctionsDeps,
  input: { tenantId: TenantId; decided: Snapshot[] },
): Promise<void> {
  const { tenantId, decided } = input
  const all = decided.map(({ event }) => event)
  await events.ingest(deps, tenantId, all, unit => recordSnapshots(unit, tenantId, decided))
}

type Received = { message: Message; body: Body }
type Deps = Pick<
  FunctionsDeps,
  'db' | 'features' | 'clock' | 'log' | 'measures' | 'tracer' | 'queueSystem'
>
/** Hears which messages have done their part, and need not come again. */
type Taken = (messages: Message[]) => Promise<void>

/** Messages that `taken` does not hear of failed, each for itself. */
export async function ingestMessages(deps: Deps, messages: Message[], taken: Taken): Promise<void> {
  const { tracer, queueSystem: system, measures } = deps
  await tracedBatch(tracer, { queue: 'events', system, messages }, async () => {
    let handled = 0
    try {
      await ingestAll(deps, messages, async some => {
        await taken(some)
        handled += some.length
      })
    } finally {
      measures?.messages('events', { handled, failed: messages.length - handled })
    }
    return { failed: messages.length - handled }
  })
}

async function ingestAll(deps: Deps, messages: Message[], taken: Taken): Promise<void> {
  const received = messages.flatMap(message => readable(deps, message))
  for (const [tenantId, group] of Map.groupBy(received, ({ body }) => body.tenantId)) {
    const began = performance.now()
    const together = group.flatMap(({ body }) => body.events)
    try {
      const { outcomes } = await events.ingest(deps, tenantId, together)
      await taken(group.map(({ message }) => message))
      const count = (of: events.Outcome) => outcomes.filter(outcome => outcome === of).length
      deps.log.info('events.ingested', {
        tenant: tenantId,
        events: together.length,
        duplicates: count('duplicate'),
        conflicts: count('conflict'),
        ms: Math.round(performance.now() - began),
      })
    } catch (error) {
      deps.log.error('events.not_ingested', { tenant: tenantId, error: inFull(error) })
      await oneByOne(deps, tenantId, group, taken)
    }
  }
}

/** What nobody can read stays on the queue, which puts it aside in the end. */
function readable(deps: Deps, message: Message): Received[] {
  try {
    const body = JSON.parse(message.body) as Body
    if (typeof body.tenantId !== 'string' || !Array.isArray(body.events))
      throw new Error('no events')
    return [{ message, body }]
  } catch (error) {
    deps.log.error('events.message_unreadable', { message: message.id, error: String(error) })
    return []
  }
}

/** A message that cannot be taken must not hold up its neighbours: it comes back when it is visible again. */
async function oneByOne(
  deps: Deps,
  tenantId: TenantId,
  group: Received[],
  taken: Taken,
): Promise<void> {
  if (group.length === 1) return
  for (const { message, body } of group) {
    try {
      await events.ingest(deps, tenantId, body.events)
      await taken([message])
    } catch (error) {
      deps.log.error('events.message_failed', { tenant: tenantId, error: String(error) })
    }
  }
}

function escaped(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16)}`
}

function chunksOf(all: Event[]): string[][] {
  const chunks: string[][] = []
  let size = Infinity
  for (const event of all) {
    // Two code points that queues refuse and JSON does not escape by itself.
    const text = JSON.stringify(event).replaceAll(/[\ufffe\uffff]/g, escaped)
    const bytes = Buffer.byteLength(text) + 1
    if (size + bytes > MESSAGE_BYTES_MAX) {
      chunks.push([])
      size = 0
    }
    chunks.at(-1)!.push(text)
    size += bytes
  }
  return chunks
}
