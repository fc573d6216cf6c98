/** What runners say of themselves, and requests that found none of them. */
import * as capacity from '#core/capacity/capacity.ts'
import { AppError } from '#core/error.ts'
import * as models from '#core/models/models.ts'
import type { FunctionsDeps } from '../deps.ts'

export async function announce(
  { db, clock }: FunctionsDeps,
  input: models.hardware.Announcement,
): Promise<object> {
  await db.system(tx => models.hardware.announce({ tx, clock }, input))
  return {}
}

/** A request found none: whoever decides how many there are to be takes it into account. */
export async function call(
  { db, clock, calls }: FunctionsDeps,
  input: { hardware: string | null },
): Promise<{ coldS: number | null }> {
  const expected = await db.system(tx => capacity.call({ tx, clock }, input))
  calls?.ring()
  return expected
}

/** Answers when a request found none, or after so long. */
export async function called(
  { calls }: FunctionsDeps,
  { withinMs }: { withinMs: number },
  signal: AbortSignal,
): Promise<object> {
  if (!calls) throw new AppError('internal', { internal: 'calls are not heard in this process' })
  await calls.rung(withinMs, signal)
  return {}
}
