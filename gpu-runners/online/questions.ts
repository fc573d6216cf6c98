/** What the router asks a runner itself, besides the requests that it hands on: the runner's end. */
import type { Servable } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Residents } from '#gpu-runners/models/residents.ts'
import type { Snapshot } from '#platform/metrics/registry.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { Measures } from './measures.ts'
import type { ErrorPart } from './messages.ts'

export type Question = { do: 'load'; tenantId: TenantId; model: Servable } | { do: 'measure' }
export type Answer = { ok: true; measured?: Snapshot } | { error: ErrorPart }

/** Never rejects: an error is an answer too. */
export async function answerTo(
  deps: { residents: Residents; measures: Pick<Measures, 'snapshot'> },
  asked: Question,
): Promise<Answer> {
  try {
    if (asked.do === 'measure') return { ok: true, measured: deps.measures.snapshot() }
    await deps.residents.get(asked.tenantId, asked.model)
    return { ok: true }
  } catch (error) {
    return { error: errorPart(error) }
  }
}

export function errorPart(error: unknown): ErrorPart {
  const known = error instanceof AppError ? error : new AppError('internal', { cause: error })
  const { code, retryable, retryAfterS, errors } = known
  return { code, public: known.public, retryable, retryAfterS, errors }
}
