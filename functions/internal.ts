/** What places ask of the functions on the platform's own behalf: signed, one line each, never public. */
import type { Call } from '#core/caller.ts'
import * as capacity from '#core/capacity/capacity.ts'
import * as decisions from '#core/decisions/decisions.ts'
import { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import * as features from '#core/features/features.ts'
import * as batches from '#core/inference/batches/batches.ts'
import * as inferences from '#core/inference/log/log.ts'
import type { Place } from '#core/internal/signing.ts'
import * as models from '#core/models/models.ts'
import * as tenants from '#core/tenants/tenants.ts'
import * as usage from '#core/usage/usage.ts'
import { joinBlobs } from '#platform/blob/s3-sign.ts'
import type { ToJoin, ToSign } from '#platform/blob/signed.ts'
import { serveQueue } from '#platform/queue/serve.ts'
import type { Event } from '#schemas/event.ts'
import type { VersionId } from '#schemas/ids.ts'
import type { FunctionsDeps } from './deps.ts'
import { inTenant, type OfTenant } from './in-tenant.ts'
import { accept, ingestDecided } from './ingest.ts'
import { published } from './models/publish.ts'
import {
  observedRollout,
  observedSwitch,
  plannedSwitch,
  refusedSwitch,
} from './models/switching.ts'
import { uploadVerified } from './models/uploads.ts'
import * as runners from './runners/runners.ts'
import { failStep, finishStep, heartbeat, leaseStep } from './steps.ts'

type Handle<I> = (deps: FunctionsDeps, input: I, signal: AbortSignal) => Promise<unknown>
type Internal = {
  path: string
  from: readonly Place[]
  handle: Handle<unknown>
}

export const INTERNAL: Internal[] = [
  internal('/internal/health', ['edge', 'runner', 'supervisor'], async () => ({})),
  internal('/internal/measures', ['edge'], async ({ measures }) => ({
    snapshot: measures?.snapshot() ?? null,
  })),
  internal('/internal/first', ['supervisor'], createFirst),
  internal('/internal/capacity', ['supervisor'], capacity.decideNow),
  internal('/internal/capacity/decisions', ['supervisor'], keptDecisions),
  internal('/internal/capacity/called', ['supervisor'], runners.called),
  internal('/internal/keys', ['edge'], lookUpKey),
  internal('/internal/revocations', ['edge'], revocations),
  internal('/internal/models/resolve', ['edge'], resolveModel),
  internal('/internal/models/switch', ['edge'], plannedSwitch),
  internal('/internal/models/switch-refused', ['edge'], refusedSwitch),
  internal('/internal/models/switch-observed', ['edge'], observedSwitch),
  internal('/internal/models/rollout-observed', ['edge'], observedRollout),
  internal('/internal/models/published', ['edge'], published),
  internal('/internal/uploads/verified', ['edge'], uploadVerified),
  internal('/internal/models/index', ['edge'], indexModels),
  internal('/internal/events/type', ['edge'], eventTypeOf),
  internal('/internal/hooks/source', ['edge'], hookSourceOf),
  internal('/internal/events/accept', ['edge'], accept),
  internal('/internal/events/ingest', ['edge', 'runner'], ingestNow),
  internal('/internal/events/decided', ['edge'], ingestDecided),
  internal('/internal/events/export', ['runner'], exportEvents),
  internal('/internal/features/service', ['edge'], servicePlanOf),
  internal('/internal/features/join-plan', ['edge'], joinPlanOf),
  internal('/internal/features/sampled', ['edge'], recordRead),
  internal('/internal/decisions/endpoint', ['edge'], endpointPlanOf),
  internal('/internal/decisions/stored', ['edge'], storedDecision),
  internal('/internal/decisions/outcomes', ['edge'], recordOutcomes),
  internal('/internal/signed-blobs/sign', ['edge'], signBlob),
  internal('/internal/signed-blobs/join', ['edge'], joinPieces),
  internal('/internal/receipts', ['edge', 'runner'], recordReceipts),
  internal('/internal/inferences', ['runner'], recordInferences),
  internal('/internal/batch-files/store', ['edge'], storeFile),
  internal('/internal/queue', ['runner', 'supervisor'], useQueue),
  internal('/internal/steps/lease', ['runner'], leaseStep),
  internal('/internal/steps/heartbeat', ['runner'], heartbeat),
  internal('/internal/steps/finish', ['runner'], finishStep),
  internal('/internal/steps/fail', ['runner'], failStep),
  internal('/internal/runners', ['runner'], runners.announce),
  internal('/internal/runners/call', ['edge'], runners.call),
  internal('/internal/validations/open', ['runner'], openValidation),
  internal('/internal/validations/judge', ['runner'], judgeVersion),
]

/** The one place where a body becomes its type: it comes from a place of ours, signed. */
function internal<I>(path: string, from: readonly Place[], handle: Handle<I>): Internal {
  return { path, from, handle: handle as Handle<unknown> }
}

/** For one request of the edge, which has no credentials of the store. */
async function signBlob({ signBlobs }: FunctionsDeps, input: ToSign) {
  if (signBlobs) return signBlobs(input)
  throw new AppError('internal', {
    internal: 'the edge asks for signed requests, and blobs are in a folder: give it BLOBS_URL',
  })
}

function joinPieces({ blobs }: FunctionsDeps, input: ToJoin) {
  return joinBlobs(blobs, input)
}

function createFirst(deps: FunctionsDeps, input: tenants.First) {
  return inTenant(deps, input, unit => tenants.createFirst(unit, input))
}

/** Up to `max` of a class, or of each where none is named. */
async function keptDecisions(
  { db }: FunctionsDeps,
  { hardware, max }: { hardware?: string; max: number },
) {
  const decisions = await db.system(tx =>
    hardware ? capacity.newest(tx, { hardware, max }) : capacity.newestOfEach(tx, max),
  )
  return { decisions }
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
  return inTenant(deps, input.call.caller, unit =>
    models.resolveServed(unit, input.model, input.version),
  )
}

function indexModels(deps: FunctionsDeps, input: { call: Call }) {
  return inTenant(deps, input.call.caller, unit => models.index(unit))
}

async function eventTypeOf(deps: FunctionsDeps, input: OfTenant<{ type: string }>) {
  return { type: await inTenant(deps, input, unit => events.newestType(unit, input.type)) }
}

/** By its address: whose it is follows from that. */
async function hookSourceOf({ db, clock, vault }: FunctionsDeps, { id }: { id: string }) {
  return { found: await db.system(tx => events.openedSource({ tx, clock }, vault, id)) }
}

function ingestNow(deps: FunctionsDeps, input: OfTenant<{ events: Event[] }>) {
  return events.ingestNow(deps, input.tenantId, input.events)
}

function exportEvents(deps: FunctionsDeps, input: OfTenant<events.ExportQuery>) {
  return inTenant(deps, input, unit => events.exported(unit, input))
}

async function servicePlanOf(deps: FunctionsDeps, input: OfTenant<{ service: string }>) {
  return { plan: await inTenant(deps, input, unit => features.servicePlan(unit, input.service)) }
}

function joinPlanOf(deps: FunctionsDeps, input: OfTenant<{ asked: features.Asked }>) {
  return inTenant(deps, input, unit => features.joinPlan(unit, input.asked))
}

async function recordRead(deps: FunctionsDeps, input: OfTenant<features.skew.Sample>) {
  const { tenantId, ...sample } = input
  await inTenant(deps, input, unit => features.skew.record(unit, tenantId, sample))
}

async function endpointPlanOf(
  deps: FunctionsDeps,
  input: OfTenant<{ endpoint: string; version?: number }>,
) {
  const { endpoint, version } = input
  const plan = await inTenant(deps, input, unit => decisions.endpointPlan(unit, endpoint, version))
  return { plan }
}

/** A decision with the plan of the version that made it. */
function storedDecision(
  deps: FunctionsDeps,
  input: OfTenant<{ endpoint: string; id: string; source?: string }>,
) {
  return inTenant(deps, input, async unit => {
    const row = await decisions.stored(unit, input.tenantId, input)
    if (!row) return { plan: null }
    const { snapshot, outcome, endpoint, endpointVersion } = row
    const plan = await decisions.endpointPlan(unit, endpoint, endpointVersion)
    return { snapshot, outcome, plan }
  })
}

async function recordOutcomes(
  deps: FunctionsDeps,
  input: OfTenant<{ outcomes: decisions.RecordedOutcome[] }>,
) {
  await inTenant(deps, input, unit =>
    decisions.recordOutcomes(unit, input.tenantId, input.outcomes),
  )
}

async function recordReceipts(deps: FunctionsDeps, input: { lines: usage.Line[] }) {
  const { entries, orphans } = usage.entriesOf(input.lines)
  if (orphans > 0) deps.log.error('usage.receipts_without_context', { orphans })
  return { fresh: await usage.record(deps, entries) }
}

async function recordInferences(deps: FunctionsDeps, input: { records: inferences.Logged[] }) {
  return { kept: await inferences.record(deps, input.records) }
}

function useQueue(
  deps: FunctionsDeps,
  input: { operation: string; input: unknown },
  signal: AbortSignal,
) {
  return serveQueue(deps.queue, input.operation, input.input, signal)
}

function storeFile(deps: FunctionsDeps, input: OfTenant<batches.files.Uploaded>) {
  return inTenant(deps, input, unit => batches.files.store(unit, input))
}

async function openValidation(
  deps: FunctionsDeps,
  input: OfTenant<{ versionId: VersionId; hardware?: string }>,
) {
  const found = await inTenant(deps, input, unit => models.validation.open(unit, input))
  const isElsewhere = found === 'elsewhere'
  return { manifest: isElsewhere ? null : found, isElsewhere }
}

function judgeVersion(
  deps: FunctionsDeps,
  input: OfTenant<{ versionId: VersionId; verdict: models.validation.Verdict }>,
) {
  return inTenant(deps, input, unit =>
    models.validation.judge(unit, input.versionId, input.verdict),
  )
}
