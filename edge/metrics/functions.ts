/** What the functions have counted: asked by the edge when somebody reads. */
import type { Reading, Snapshot } from '#platform/metrics/registry.ts'
import type { EdgeDeps } from '../deps.ts'
import { ask } from '../functions-client.ts'

/** Functions that are away, or busy for so long, are left out. */
const ANSWER_MS_MAX = 1_000

/** Nothing, where functions count nothing: those that come and go by the request are measured by their platform. */
export async function functionsReading(
  deps: Pick<EdgeDeps, 'functions' | 'signer' | 'clock'>,
): Promise<Reading[]> {
  const asked = ask<{ snapshot: Snapshot | null }>(deps, '/internal/measures', {}).catch(() => null)
  const late = Promise.withResolvers<null>()
  const timer = setTimeout(() => late.resolve(null), ANSWER_MS_MAX)
  const told = await Promise.race([asked, late.promise])
  clearTimeout(timer)
  return told?.snapshot ? [{ process: 'functions', snapshot: told.snapshot }] : []
}
