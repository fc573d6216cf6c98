/**
 * Which requests are traced. The ratio is held against the rightmost bits of the trace's id, which are
 * random by W3C's level 2 and by OpenTelemetry's "TraceState: Probability Sampling" alike: places that
 * share a ratio decide alike.
 */
import type { Parent } from './context.ts'

export type Sampler = {
  /** Of traces that begin here, and of all where parents are not followed: 0 to 1. */
  ratio: number
  /** Whether who asks decides for its own traces. */
  followsParent: boolean
}

/** Of an id's last 56 bits the upper 52: so many are exact in a number. */
const RANGE = 2 ** 52
const RANDOM_FROM = 18
const RANDOM_TO = 31
const WORD = 2 ** 32
const WORD_DIGITS = 8
const NO_SPAN = '0'.repeat(16)

export function isSampled({ ratio, followsParent }: Sampler, parent: Parent): boolean {
  if (followsParent) return parent.isSampled
  return Number.parseInt(parent.traceId.slice(RANDOM_FROM, RANDOM_TO), 16) >= thresholdOf(ratio)
}

/** The id of a trace that begins here, or null: it is not sampled, and costs one random number. */
export function newTrace({ ratio }: Sampler): string | null {
  const drawn = Math.floor(Math.random() * RANGE)
  if (drawn < thresholdOf(ratio)) return null
  const digits = drawn.toString(16).padStart(RANDOM_TO - RANDOM_FROM, '0')
  return hexOf(RANDOM_FROM) + digits + hexOf(1)
}

export function newSpanId(): string {
  const id = hexOf(16)
  return id === NO_SPAN ? newSpanId() : id
}

function thresholdOf(ratio: number): number {
  return Math.round((1 - ratio) * RANGE)
}

/** Random digits of ids, which are no secrets: whoever reads them may read the trace. */
function hexOf(digits: number): string {
  let text = ''
  while (text.length < digits) {
    text += Math.floor(Math.random() * WORD)
      .toString(16)
      .padStart(WORD_DIGITS, '0')
  }
  return text.slice(0, digits)
}
