/** The span of one inference on its runner: from its frame to its reply, or to what went wrong. */
import { AppError } from '#core/error.ts'
import type { OpenSpan, Tracer } from '#core/trace.ts'
import type { InferHead, Shared } from './messages.ts'

/** `fault`: what it failed with, whoever is to blame; of callers' own mistakes the span says only the code. */
export function endInference(
  tracer: Tracer,
  span: OpenSpan,
  { caller, model, kind }: Shared,
  { requestId }: InferHead,
  done: { rows: number; computeUs: number; receiptId: string } | { fault: unknown },
): void {
  const attributes = {
    'galley.tenant.id': caller.tenantId,
    'galley.request.id': requestId,
    'galley.model.name': model.model,
    'galley.model.version': model.version,
    'galley.model.digest': model.digest,
    ...(kind && { 'galley.kind': kind }),
  }
  const is = { name: 'infer', kind: 'server' as const }
  if (!('fault' in done)) {
    const { rows, computeUs, receiptId } = done
    const made = { 'galley.rows': rows, 'galley.compute_us': computeUs }
    tracer.end(span, {
      ...is,
      attributes: { ...attributes, ...made, 'galley.receipt.id': receiptId },
    })
    return
  }
  const { fault } = done
  const code = fault instanceof AppError ? fault.code : 'internal'
  const isOurs = !(fault instanceof AppError) || fault.status >= 500
  const failed = { ...attributes, 'error.type': code }
  tracer.end(span, { ...is, attributes: failed, ...(isOurs && { fault: code }) })
}
