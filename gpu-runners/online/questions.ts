/** What the router asks a runner itself, besides the requests that it hands on: the runner's end. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Servable } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { ServedCounts } from '#core/router.ts'
import { Overloaded } from '#gpu-runners/batcher/admission.ts'
import type { Resident, Residents } from '#gpu-runners/models/residents.ts'
import type { Snapshot } from '#platform/metrics/registry.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { Measures } from './measures.ts'
import type { ErrorPart } from './messages.ts'
import type { Statistics } from './statistics.ts'

/** How long an unload waits for the last requests of a model. */
const IDLE_WAIT_MS = 5_000
const IDLE_LOOK_MS = 20

type Filter = { model?: string; version?: number }

export type Question =
  | { do: 'load'; tenantId: TenantId; model: Servable }
  | { do: 'unload'; tenantId: TenantId; digests: string[] }
  | { do: 'measure' }
  | { do: 'count'; tenantId: TenantId; model?: string; version?: number }
export type Answer = { ok: true; measured?: Snapshot; counted?: Counted } | { error: ErrorPart }
export type Counted = { sinceMs: number; models: ServedCounts[] }

type Deps = {
  residents: Residents
  measures: Pick<Measures, 'snapshot'>
  statistics: Statistics
}

/** Never rejects: an error is an answer too. */
export async function answerTo(deps: Deps, asked: Question): Promise<Answer> {
  try {
    if (asked.do === 'measure') return { ok: true, measured: deps.measures.snapshot() }
    if (asked.do === 'count') return { ok: true, counted: counted(deps.statistics, asked) }
    if (asked.do === 'load') claim(await deps.residents.get(asked.tenantId, asked.model), asked)
    else await release(deps.residents, asked)
    return { ok: true }
  } catch (error) {
    return { error: errorPart(error) }
  }
}

function counted(statistics: Statistics, asked: { tenantId: TenantId } & Filter): Counted {
  return { sinceMs: statistics.sinceMs, models: statistics.read(asked.tenantId, asked) }
}

function claim({ users }: Resident, { tenantId }: { tenantId: TenantId }): void {
  users.add(tenantId)
}

/** Waits a while for the model to be idle. Throws `in_use`. */
async function release(
  residents: Residents,
  { tenantId, digests }: { tenantId: TenantId; digests: string[] },
): Promise<void> {
  const until = Date.now() + IDLE_WAIT_MS
  for (const digest of digests) {
    while (!(await residents.release(tenantId, digest))) {
      if (Date.now() >= until) throw inUse()
      await sleep(IDLE_LOOK_MS)
    }
  }
}

function inUse(): AppError {
  return new AppError('in_use', {
    public: 'The model answers requests without a pause: unload it when they have ended.',
    retryable: true,
    retryAfterS: 5,
  })
}

export function errorPart(error: unknown): ErrorPart {
  const known = error instanceof AppError ? error : new AppError('internal', { cause: error })
  const { code, retryable, retryAfterS, errors } = known
  const part: ErrorPart = { code, public: known.public, retryable, retryAfterS, errors }
  if (error instanceof Overloaded && error.full) part.full = error.full
  return part
}
