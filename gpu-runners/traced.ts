/** Work that was put off and that a message brings to a runner, as a span: of the trace that asked for it. */
import { AppError } from '#core/error.ts'
import type { Attributes, TraceContext, Tracer } from '#core/trace.ts'
import { contextIn } from '#platform/traces/context.ts'

type Work = { name: 'step' | 'validate'; trace: TraceContext | undefined; attributes: Attributes }

/** Without a trace that asked, it is one of its own where the sampler wants it. */
export async function traced<T>(
  tracer: Tracer | null | undefined,
  { name, trace, attributes }: Work,
  work: () => Promise<T>,
): Promise<T> {
  if (!tracer) return work()
  const asker = contextIn(trace)
  const links = asker ? [asker] : []
  const span = tracer.after(links)
  if (!span) return work()
  const is = { name, kind: 'consumer' as const, links }
  try {
    const done = await work()
    tracer.end(span, { ...is, attributes })
    return done
  } catch (error) {
    const code = error instanceof AppError ? error.code : 'internal'
    const isOurs = !(error instanceof AppError) || error.status >= 500
    const failed = { ...attributes, 'error.type': code }
    tracer.end(span, { ...is, attributes: failed, ...(isOurs && { fault: code }) })
    throw error
  }
}
