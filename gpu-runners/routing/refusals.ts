/**
 * What a runner refused because of all that waits there holds for a while for whoever asks next with no
 * more time: they are told so here, which spares both sides most of the work that a flood makes.
 */
import type { InferenceCall } from '#core/deps.ts'
import type { AppError } from '#core/error.ts'
import type { Full } from '#gpu-runners/batcher/admission.ts'

type Refusal = Full & { error: AppError }

/** Callers who are refused at the same moment; more are asked for again. */
const KEPT_MAX = 1_000
/** Where it stands in a body, the request may be more urgent than those that were refused. */
const URGENCY = '"priority"'

/** Of one runner, by the number of what its requests share. */
export class Refusals {
  readonly #kept = new Map<number, Refusal>()
  /** Requests that were told so. */
  count = 0

  keep(context: number, refusal: Refusal, nowMs: number): void {
    if (this.#kept.size >= KEPT_MAX) this.#kept.clear()
    // The clock of another machine may be ahead of this one.
    const untilMs = Math.min(refusal.untilMs, nowMs + refusal.forMs)
    this.#kept.set(context, { ...refusal, untilMs })
  }

  /** What such a request would be told; null: it must be asked. */
  of(
    context: number,
    asked: Pick<InferenceCall, 'deadline' | 'body' | 'jsonLength'>,
    nowMs: number,
  ) {
    const { deadline, body, jsonLength } = asked
    const refusal = this.#kept.get(context)
    if (!refusal) return null
    if (refusal.untilMs <= nowMs) {
      this.#kept.delete(context)
      return null
    }
    if (deadline >= refusal.doneMs) return null
    const { buffer, byteOffset, length } = body.subarray(0, jsonLength ?? body.length)
    if (Buffer.from(buffer, byteOffset, length).includes(URGENCY)) return null
    this.count++
    return refusal.error
  }
}
