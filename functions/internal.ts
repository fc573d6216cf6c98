/** What places ask of the functions on the platform's own behalf: signed, one line each, never public. */
import type { Call } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import * as bulk from '#core/inference/bulk.ts'
import type { Place } from '#core/internal/signing.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as models from '#core/models/models.ts'
import * as tenants from '#core/tenants/tenants.ts'
import * as usage from '#core/usage/usage.ts'
import { serveQueue } from '#platform/queue/serve.ts'
import type { StepId, TenantId, VersionId } from '#schemas/ids.ts'
import type { FunctionsDeps } from './deps.ts'

type Internal = {
  path: string
  from: readonly Place[]
  // Bodies come from our own places, signed; their types are those of the verbs.
  // biome-ignore lint/suspicious/noExplicitAny: each entry names its own input
  handle(deps: FunctionsDeps, input: any, signal: AbortSignal): Promise<unknown>
}

type OfTenant<T> = T & { tenantId: TenantId }

export const INTERNAL: Internal[] = [
  { path: '/internal/health', from: ['edge', 'runner', 'supervisor'], handle: async () => ({}) },
  { path: '/internal/first', from: ['supervisor'], handle: createFirst },
  { path: '/internal/keys', from: ['edge'], handle: lookUpKey },
  { path: '/internal/revocations', from: ['edge'], handle: revocations },
  { path: '/internal/models/resolve', from: ['edge'], handle: resolveModel },
  { path: '/internal/receipts', from: ['edge', 'runner'], handle: recordReceipts },
  { path: '/internal/queue', from: ['runner'], handle: useQueue },
  { path: '/internal/steps/lease', from: ['runner'], handle: leaseStep },
  { path: '/internal/steps/heartbeat', from: ['runner'], handle: heartbeat },
  { path: '/internal/steps/finish', from: ['runner'], handle: finishStep },
  { path: '/internal/steps/fail', from: ['runner'], handle: failStep },
  { path: '/internal/validations/open', from: ['runner'], handle: openValidation },
  { path: '/internal/validations/judge', from: ['runner'], handle: judgeVersion },
]

function createFirst(deps: FunctionsDeps, input: tenants.First) {
  return deps.db.tenant(input.tenantId, tx => tenants.createFirst({ tx, clock: deps.clock }, input))
}

function lookUpKey(deps: FunctionsDeps, input: { publicId: string }) {
  return deps.db.system(tx => tenants.keys.lookUp({ tx, clock: deps.clock }, input.publicId))
}

function revocations(deps: FunctionsDeps, input: { sinceMs: number }) {
  const at = deps.clock.now()
  return deps.db.system(async tx => ({
    at,
    publicIds: await tenants.keys.revokedSince({ tx, clock: deps.clock }, input.sinceMs),
  }))
}

function resolveModel(deps: FunctionsDeps, input: { call: Call; model: string; version?: string }) {
  return deps.db.tenant(input.call.caller.tenantId, tx =>
    models.resolve({ tx, clock: deps.clock }, input.model, input.version),
  )
}

async function recordReceipts(deps: FunctionsDeps, input: { lines: usage.Line[] }) {
  const { entries, orphans } = usage.entriesOf(input.lines)
  if (orphans > 0) deps.log.error('usage.receipts_without_context', { orphans })
  return { fresh: await usage.record(deps, entries) }
}

function useQueue(
  deps: FunctionsDeps,
  input: { operation: string; input: unknown },
  signal: AbortSignal,
) {
  return serveQueue(deps.queue, input.operation, input.input, signal)
}

function leaseStep(deps: FunctionsDeps, input: OfTenant<{ stepId: StepId; runner: string }>) {
  return inTenant(deps, input, unit => bulk.assign(unit, input))
}

function heartbeat(deps: FunctionsDeps, input: OfTenant<{ stepId: StepId; epoch: number }>) {
  return inTenant(deps, input, unit => jobs.leases.heartbeat(unit, input))
}

function finishStep(deps: FunctionsDeps, input: OfTenant<Parameters<typeof bulk.finish>[1]>) {
  return inTenant(deps, input, unit => bulk.finish(unit, input))
}

function failStep(deps: FunctionsDeps, input: OfTenant<jobs.leases.Failure>) {
  return inTenant(deps, input, unit => jobs.leases.fail(unit, input))
}

function openValidation(deps: FunctionsDeps, input: OfTenant<{ versionId: VersionId }>) {
  return inTenant(deps, input, async unit => {
    const version = await models.validation.awaitingVerdict(unit, input.versionId)
    return { manifest: version?.manifest ?? null }
  })
}

function judgeVersion(
  deps: FunctionsDeps,
  input: OfTenant<{ versionId: VersionId; verdict: models.validation.Verdict }>,
) {
  return inTenant(deps, input, unit =>
    models.validation.judge(unit, input.versionId, input.verdict),
  )
}

function inTenant<T>(
  deps: FunctionsDeps,
  input: { tenantId: TenantId },
  work: (unit: {
    tx: Parameters<Parameters<FunctionsDeps['db']['tenant']>[1]>[0]
    clock: FunctionsDeps['clock']
  }) => Promise<T>,
): Promise<T> {
  if (!input.tenantId) throw new AppError('invalid_request', { internal: 'no tenant' })
  return deps.db.tenant(input.tenantId, tx => work({ tx, clock: deps.clock }))
}
