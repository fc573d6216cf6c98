/** The span of what the control API is asked, inside the request of the edge that asks it. */
import { AppError } from '#core/error.ts'
import type { Attributes, OpenSpan, TraceContext, Tracer } from '#core/trace.ts'

type Answered = {
  method: string
  /** As the route has it, its parameters by their names. */
  path: string
  status: number
  attributes: Attributes
  fault?: unknown
}

/** Null where nothing is traced, or who asks is not. */
export function begin(
  tracer: Tracer | null | undefined,
  trace: TraceContext | null | undefined,
): OpenSpan | null {
  return tracer && trace ? tracer.child(trace) : null
}

export function end(tracer: Tracer, span: OpenSpan, answered: Answered): void {
  const { method, path, status, attributes, fault } = answered
  const code = fault instanceof AppError ? fault.code : 'internal'
  tracer.end(span, {
    name: `${method} ${path}`,
    kind: 'server',
    attributes: {
      ...attributes,
      'http.request.method': method,
      'http.route': path,
      'http.response.status_code': status,
      ...(fault !== undefined && { 'error.type': code }),
    },
    ...(status >= 500 && { fault: code }),
  })
}
