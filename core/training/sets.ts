/**
 * Training sets: labels with the features that reads at their times would have had, as a run of one step.
 * All that the bytes follow from is pinned when the run is created, so that whoever makes them, and however
 * often, makes the same.
 */
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import { microsOf } from '#core/events/time.ts'
import * as features from '#core/features/features.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as models from '#core/models/models.ts'
import * as usage from '#core/usage/usage.ts'
import type { FieldType } from '#schemas/event.ts'
import type { ServicePlan } from '#schemas/feature.ts'
import type { StepId } from '#schemas/ids.ts'
import type { InputFile, TrainingSetLineage, TrainingSetSpec } from '#schemas/tables/jobs.ts'

/** A part of an entity's key, and the column of the spine that holds it. */
export type KeyField = { name: string; type: FieldType }

/** All that a runner must know to make the set. */
export type Assignment = jobs.Assigned<'make'> & {
  spec: TrainingSetSpec
  plan: ServicePlan
  /** By entity: the sets of columns that may hold its key; the first that is there does. */
  entities: Record<string, KeyField[][]>
}

export type Outcome = {
  kind: 'make'
  key: string
  size: number
  sha256: string
  rows: number
  computeUs: number
  lineage: TrainingSetLineage
}

type Input = {
  service: string
  version?: number
  spine: { sha256: string; format: InputFile['format'] }
  mode: TrainingSetSpec['mode']
  as_of?: string
  log_position?: number
  statuses: boolean
  expires_in_s: number
}

/** Pins the service's version and the moment of the log, and starts the run. */
export async function create(unit: Unit, call: Call, input: Input): Promise<jobs.ShownJob> {
  const { service, version } = input
  const plan = await features.servicePlan(unit, service, version)
  if (!plan) {
    const which =
      version === undefined ? `"${service}"` : `"${service}" with the version ${version}`
    throw wrong(
      version === undefined ? '/service' : '/version',
      `There is no feature service ${which}.`,
    )
  }
  const { sha256, format } = input.spine
  const file = await models.uploads.fileOf(unit, sha256)
  if (!file) {
    throw wrong(
      '/spine/sha256',
      'spine.sha256 names no complete upload of this tenant; upload the file first.',
    )
  }
  const spec: TrainingSetSpec = {
    service,
    serviceVersion: plan.version,
    serviceHash: plan.hash,
    views: plan.views.map(({ view, version, hash }) => ({ name: view, version, hash })),
    mode: input.mode,
    asOf: asOfOf(unit, input.as_of),
    logPosition: await positionOf(unit, input.log_position),
    statuses: input.statuses,
    input: { sha256, size: file.size, format },
  }
  const expiresInS = input.expires_in_s
  return jobs.start(unit, call, { kind: 'training_set', first: 'make', spec, expiresInS })
}

export async function assignment(unit: Unit, leased: jobs.leases.Leased): Promise<Assignment> {
  const { run } = leased
  const spec = run.spec as TrainingSetSpec
  const plan = await features.servicePlan(unit, spec.service, spec.serviceVersion)
  if (!plan) throw new AppError('internal', { internal: `no plan of ${spec.service}` })
  return {
    ...jobs.assigned<'make'>(leased),
    spec,
    plan,
    entities: await keysOf(unit, plan),
  }
}

/** Ends the run; its receipt commits in the same transaction, so done and billed are one fact. */
export async function finish(
  unit: Unit,
  input: { stepId: StepId; epoch: number; outcome: Outcome },
): Promise<void> {
  const { outcome, ...lease } = input
  const { key, size, sha256, rows, lineage } = outcome
  const done = await jobs.leases.complete(unit, {
    ...lease,
    output: { key },
    rowsTotal: rows,
    rowsDone: rows,
    result: { key, size, sha256, lineage },
  })
  if (done.status === 'repeated') return
  const spec = done.run.spec as TrainingSetSpec
  const { service: model, serviceVersion: version, serviceHash: digest } = spec
  const of = { kind: 'training_set' as const, model, version, digest }
  await usage.bill(unit, done, of, {
    rows,
    computeUs: outcome.computeUs,
    bytesIn: spec.input.size,
    bytesOut: size,
  })
}

function asOfOf({ clock }: Unit, given: string | undefined): number {
  const now = clock.now() * 1_000
  if (given === undefined) return now
  const at = microsOf(given)
  if (at === null) throw wrong('/as_of', `as_of is no time: "${given}".`)
  if (at <= now) return at
  throw wrong('/as_of', 'as_of is yet to come; what will be known then cannot be told now.')
}

async function positionOf(unit: Unit, given: number | undefined): Promise<number> {
  const newest = await events.newestNumber(unit)
  if (given === undefined || given <= newest) return given ?? newest
  throw wrong('/log_position', `The log is at ${newest}; ${given} is yet to come.`)
}

/** A column of the entity's own name, where its key has one part, or those of the fields that hold it. */
async function keysOf(unit: Unit, { views }: ServicePlan): Promise<Assignment['entities']> {
  const found: Record<string, KeyField[][]> = {}
  for (const { entity, eventType } of views) {
    const type = await events.newestType(unit, eventType)
    const names = [type?.entities[entity] ?? []].flat()
    const parts = names.map(name => ({ name, type: type!.fields[name]!.type }))
    found[entity] ??= parts.length === 1 ? [[{ name: entity, type: parts[0]!.type }]] : []
    found[entity].push(parts)
  }
  return found
}

function wrong(pointer: string, detail: string): AppError {
  return new AppError('invalid_body', { public: detail, errors: [{ pointer, detail }] })
}
