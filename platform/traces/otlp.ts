/**
 * Spans as an `ExportTraceServiceRequest` of OTLP 1.x in proto3's JSON form: ids in hex, 64-bit integers
 * as text, enums as numbers (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
 */
import type { Attributes, Ended, OpenSpan, SpanKind, TraceContext } from '#core/trace.ts'

export type Span = OpenSpan & Ended & { endMs: number }

const KINDS: Record<SpanKind, number> = { internal: 1, server: 2, client: 3, consumer: 5 }
const STATUS_ERROR = 2
const FLAG_SAMPLED = 1

export function requestOf(resource: Attributes, spans: readonly Span[]): string {
  const scopeSpans = [{ scope: { name: 'galley' }, spans: spans.map(spanOf) }]
  return JSON.stringify({
    resourceSpans: [{ resource: { attributes: attributesOf(resource) }, scopeSpans }],
  })
}

function spanOf(span: Span) {
  const { context, parentId, name, kind, startMs, endMs, attributes, links, fault } = span
  return {
    ...placeOf(context),
    ...(parentId !== null && { parentSpanId: parentId }),
    name,
    kind: KINDS[kind],
    startTimeUnixNano: nanosOf(startMs),
    endTimeUnixNano: nanosOf(Math.max(startMs, endMs)),
    attributes: attributesOf(attributes),
    ...(links && links.length > 0 && { links: links.map(placeOf) }),
    ...(fault !== undefined && { status: { code: STATUS_ERROR, message: fault } }),
  }
}

function placeOf({ traceId, spanId, state }: TraceContext) {
  return { traceId, spanId, ...(state !== undefined && { traceState: state }), flags: FLAG_SAMPLED }
}

function attributesOf(attributes: Attributes) {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) }))
}

function anyValue(value: string | number | boolean) {
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value }
}

function nanosOf(ms: number): string {
  return String(BigInt(Math.round(ms * 1_000)) * 1_000n)
}
