/**
 * Spans of invocations. A frozen process sends nothing, so that they are sent before the reply leaves: for a
 * little while, and what has not gone by then is dropped, counted, and told in the log.
 */
import type { Attributes, OpenSpan } from '#core/trace.ts'
import { type Amount, Registry, type Vector } from '#platform/metrics/registry.ts'
import type { ExporterDeps } from '#platform/traces/exporter.ts'
import type { TraceSettings } from '#platform/traces/settings.ts'
import { type OpenTracer, openTracer, spanOutcomes } from '#platform/traces/tracer.ts'
import type { FunctionName } from '#schemas/cloud/functions.ts'
import { SCHEDULES } from '#schemas/schedules.ts'
import type { Invocation } from './base.ts'
import type { Environment } from './env.ts'

/** Of a reply that is traced, and of no other. */
const FLUSH_MS_MAX = 200
/** What becomes of spans that do not arrive. */
const LOST = ['full', 'failed', 'rejected']

export type InvocationTraces = {
  tracer: OpenTracer
  /** Of this invocation are all spans until the next one. */
  begin(name: FunctionName, invocation: Invocation): void
  /** Sends what there is. Never rejects. */
  end(): Promise<void>
}

/** Null where nothing is traced. */
export function openTraces(
  deps: Pick<ExporterDeps, 'clock' | 'log'>,
  settings: TraceSettings | null,
  { instance, resource }: Environment,
): InvocationTraces | null {
  const outcomes = spanOutcomes(new Registry())
  const exporting = { ...deps, fetch, background: () => {}, outcomes }
  const tracer = openTracer(exporting, settings, instance, resource)
  if (!tracer) return null
  let invocation: Attributes = {}
  let isCold = true
  let told = 0
  return {
    tracer: {
      ...tracer,
      end(span: OpenSpan, ended, endMs) {
        const attributes = { ...ended.attributes, ...invocation }
        tracer.end(span, { ...ended, attributes }, endMs)
      },
    },
    begin(name, { awsRequestId }) {
      invocation = {
        'faas.trigger': triggerOf(name),
        'faas.invocation_id': awsRequestId,
        'faas.coldstart': isCold,
      }
      isCold = false
    },
    async end() {
      await tracer.flush(FLUSH_MS_MAX)
      const lost = lostOf(outcomes)
      if (lost > told) deps.log.info('functions.spans_lost', { spans: lost - told, since: lost })
      told = lost
    },
  }
}

function triggerOf(name: FunctionName): string {
  if (name === 'api') return 'http'
  return name in SCHEDULES ? 'timer' : 'pubsub'
}

function lostOf(outcomes: Vector<Amount>): number {
  return LOST.reduce((sum, outcome) => sum + outcomes.of(outcome).value, 0)
}
