/**
 * The span of a request at the edge, by whichever protocol it came, with the names of OpenTelemetry's
 * semantic conventions. Where nothing is traced one property is looked at; of a request that is not
 * sampled one header is read.
 */
import type { Call } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import type { Attributes, OpenSpan, TraceContext, Tracer } from '#core/trace.ts'
import { stateOf } from '#platform/traces/context.ts'
import { statusOf } from '../metrics/requests.ts'

export type Answered = {
  name: string
  attributes: Attributes
  /** What it was refused or failed with, as it was thrown. */
  fault?: unknown
}

/** Where the request stands; what vendors say of it is passed on with a trace that others began. */
export function contextOf(span: OpenSpan, tracestate: string | undefined): TraceContext {
  const { context, parentId } = span
  const state = parentId === null ? undefined : stateOf(tracestate)
  if (state !== undefined) context.state = state
  return context
}

export function end(tracer: Tracer, span: OpenSpan, call: Partial<Call>, answered: Answered): void {
  const { name, attributes, fault } = answered
  const known: Attributes = { ...attributes }
  if (call.requestId) known['galley.request.id'] = call.requestId
  if (call.caller?.tenantId) known['galley.tenant.id'] = call.caller.tenantId
  const error = fault === undefined ? undefined : codeOf(fault)
  if (error !== undefined) known['error.type'] = error
  const isOurs = error !== undefined && statusOf(fault) >= 500
  tracer.end(span, {
    name,
    kind: 'server',
    attributes: known,
    ...(isOurs && { fault: error }),
  })
}

function codeOf(fault: unknown): string {
  return fault instanceof AppError ? fault.code : 'internal'
}
