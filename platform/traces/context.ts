/**
 * W3C Trace Context (https://www.w3.org/TR/trace-context/): what a caller says of its trace. What is not
 * of that form is nobody's trace, and a new one begins.
 */

import type { TraceContext } from '#core/trace.ts'

export type Parent = { traceId: string; spanId: string; isSampled: boolean }

/** Version 00 has exactly these fields; later ones may have more behind them. */
const PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const TRACE_ID = /^[0-9a-f]{32}$/
const SPAN_ID = /^[0-9a-f]{16}$/
const NO_TRACE = '0'.repeat(32)
const NO_SPAN = '0'.repeat(16)
/** What is to be passed on at least (§3.3.1.5); of more, whole entries are left out from the end. */
const STATE_CHARS_MAX = 512
const STATE_ENTRIES_MAX = 32
/** Keys and values as §3.3.1.3 has them. */
const STATE_ENTRY =
  /^(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/

/** Null: absent, or of no known form. */
export function parentOf(traceparent: string | undefined): Parent | null {
  if (traceparent === undefined) return null
  const found = PARENT.exec(traceparent)
  if (!found) return null
  const [, version, traceId, spanId, flags, more] = found as unknown as string[]
  if (version === 'ff' || (version === '00' && more !== undefined)) return null
  if (traceId === NO_TRACE || spanId === NO_SPAN) return null
  return {
    traceId: traceId!,
    spanId: spanId!,
    isSampled: (Number.parseInt(flags!, 16) & 1) === 1,
  }
}

/** The entries of `tracestate` in their order; undefined: there are none, or they are malformed. */
export function stateOf(tracestate: string | undefined): string | undefined {
  if (!tracestate) return undefined
  const entries = tracestate
    .split(',')
    .map(entry => entry.replace(/^[ \t]+|[ \t]+$/g, ''))
    .filter(entry => entry !== '')
  const keys = new Set(entries.map(entry => entry.slice(0, entry.indexOf('='))))
  const isSound = entries.every(entry => STATE_ENTRY.test(entry)) && keys.size === entries.length
  if (!isSound || entries.length > STATE_ENTRIES_MAX) return undefined
  while (entries.join(',').length > STATE_CHARS_MAX) entries.pop()
  return entries.join(',') || undefined
}

/** A context that travelled as data; null: absent, or none. */
export function contextIn(given: unknown): TraceContext | null {
  const { traceId, spanId, state } = (given ?? {}) as Record<string, unknown>
  if (typeof traceId !== 'string' || !TRACE_ID.test(traceId) || traceId === NO_TRACE) return null
  if (typeof spanId !== 'string' || !SPAN_ID.test(spanId) || spanId === NO_SPAN) return null
  const sound = typeof state === 'string' ? stateOf(state) : undefined
  return { traceId, spanId, ...(sound !== undefined && { state: sound }) }
}
