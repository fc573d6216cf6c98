/** The tracer of one process: decides what is sampled, and hands spans to the exporter. */
import type { Attributes, OpenSpan, TraceContext, Tracer } from '#core/trace.ts'
import type { Amount, Registry, Vector } from '../metrics/registry.ts'
import { parentOf } from './context.ts'
import { type Exporter, type ExporterDeps, openExporter } from './exporter.ts'
import { isSampled, newSpanId, newTrace } from './sampler.ts'
import type { TraceSettings } from './settings.ts'
import { openWall } from './wall.ts'

/** Of what others have asked for who are traced. */
const ALL = { ratio: 1, followsParent: false }

export type OpenTracer = Tracer & Pick<Exporter, 'flush' | 'close'>

/** `instance`: the process, among others of its service. Null where nothing is traced. */
export function openTracer(
  deps: ExporterDeps,
  settings: TraceSettings | null,
  instance: string,
  more: Attributes = {},
): OpenTracer | null {
  if (!settings) return null
  const { sampler, serviceName, resource } = settings
  const exporter = openExporter(deps, settings, {
    'service.namespace': 'galley',
    ...resource,
    'service.name': serviceName,
    'service.instance.id': instance,
    ...more,
  })
  const now = openWall()
  const open = (traceId: string, parentId: string | null) => ({
    context: { traceId, spanId: newSpanId() },
    parentId,
    startMs: now(),
  })
  function begin(traceparent: string | undefined): OpenSpan | null {
    const parent = parentOf(traceparent)
    if (parent) return isSampled(sampler, parent) ? open(parent.traceId, parent.spanId) : null
    const traceId = newTrace(sampler)
    return traceId === null ? null : open(traceId, null)
  }
  function child({ traceId, spanId, state }: TraceContext): OpenSpan {
    const span = open(traceId, spanId)
    return state === undefined ? span : { ...span, context: { ...span.context, state } }
  }
  return {
    now,
    begin,
    child,
    after([first, ...others]) {
      if (!first) return begin(undefined)
      const isOne = others.every(({ traceId }) => traceId === first.traceId)
      return isOne ? child(first) : open(newTrace(ALL)!, null)
    },
    end: (span, ended, endMs = now()) => exporter.add({ ...span, ...ended, endMs }),
    flush: exporter.flush,
    close: exporter.close,
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
