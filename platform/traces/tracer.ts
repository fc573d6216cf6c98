/** The tracer of one process: decides what is sampled, and hands spans to the exporter. */
import type { Tracer } from '#core/trace.ts'
import type { Amount, Registry, Vector } from '../metrics/registry.ts'
import { parentOf } from './context.ts'
import { type ExporterDeps, openExporter } from './exporter.ts'
import { isSampled, newSpanId, newTrace } from './sampler.ts'
import type { TraceSettings } from './settings.ts'
import { openWall } from './wall.ts'

export type OpenTracer = Tracer & { close(waitMs: number): Promise<void> }

/** `instance`: the process, among others of its service. Null where nothing is traced. */
export function openTracer(
  deps: ExporterDeps,
  settings: TraceSettings | null,
  instance: string,
): OpenTracer | null {
  if (!settings) return null
  const { sampler, serviceName } = settings
  const exporter = openExporter(deps, settings, {
    'service.name': serviceName,
    'service.namespace': 'galley',
    'service.instance.id': instance,
  })
  const now = openWall()
  const open = (traceId: string, parentId: string | null) => ({
    context: { traceId, spanId: newSpanId() },
    parentId,
    startMs: now(),
  })
  return {
    now,
    begin(traceparent) {
      const parent = parentOf(traceparent)
      if (parent) return isSampled(sampler, parent) ? open(parent.traceId, parent.spanId) : null
      const traceId = newTrace(sampler)
      return traceId === null ? null : open(traceId, null)
    },
    child({ traceId, spanId, state }) {
      const span = open(traceId, spanId)
      return state === undefined ? span : { ...span, context: { ...span.context, state } }
    },
    end: (span, ended, endMs = now()) => exporter.add({ ...span, ...ended, endMs }),
    close: waitMs => exporter.close(waitMs),
  }
}

/** What became of spans, beside what a process counts otherwise. */
export function spanOutcomes(registry: Registry): Vector<Amount> {
  return registry.counter(
    'galley_spans_total',
    'Spans of traces by what became of them: sent, or dropped as full, failed, rejected.',
    ['outcome'],
  )
}
