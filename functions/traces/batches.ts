/** The span of messages that are worked on together. What each carries of a trace is that of who sent it. */
import type { Message } from '#core/deps.ts'
import type { TraceContext, Tracer } from '#core/trace.ts'
import { contextIn } from '#platform/traces/context.ts'
import type { QueueName } from '#schemas/queues.ts'

/** OpenTelemetry takes as many links of a span, if not told otherwise. */
const LINKS_MAX = 128

type Batch = {
  queue: QueueName
  /** By OpenTelemetry's names, as `aws_sqs`. */
  system: string | undefined
  messages: readonly Message[]
}

/** Does the work, which says how many failed, in a span where it is traced. */
export async function tracedBatch(
  tracer: Tracer | null | undefined,
  { queue, system, messages }: Batch,
  work: () => Promise<{ failed: number }>,
): Promise<void> {
  const askers = tracer ? askersOf(messages) : []
  const span = tracer?.after(askers)
  if (!span) {
    await work()
    return
  }
  const attributes = {
    'messaging.operation.name': 'process',
    'messaging.operation.type': 'process',
    'messaging.destination.name': queue,
    'messaging.batch.message_count': messages.length,
    ...(system && { 'messaging.system': system }),
  }
  const is = { name: `process ${queue}`, kind: 'consumer' as const, links: askers }
  const faulty = (type: string, failed: number) => ({
    ...is,
    attributes: { ...attributes, 'error.type': type, 'galley.messages.failed': failed },
    fault: type,
  })
  try {
    const { failed } = await work()
    tracer!.end(span, failed > 0 ? faulty('message_failed', failed) : { ...is, attributes })
  } catch (error) {
    tracer!.end(span, faulty('internal', messages.length))
    throw error
  }
}

/** Each that is traced, once. A body that nobody can read has none. */
function askersOf(messages: readonly Message[]): TraceContext[] {
  const found = new Map<string, TraceContext>()
  for (const { body } of messages) {
    const trace = traceIn(body)
    if (trace) found.set(trace.spanId, trace)
  }
  return [...found.values()].slice(0, LINKS_MAX)
}

/** Most messages have none: they are not parsed for it. */
function traceIn(body: string): TraceContext | null {
  if (!body.includes('"trace":')) return null
  try {
    return contextIn((JSON.parse(body) as { trace?: unknown }).trace)
  } catch {
    return null
  }
}
