/** Explaining a value: what a view is for an entity at a time, and which events make it so. */
import type { Call } from '#core/caller.ts'
import type { Clock, Database, FeatureObjects } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import { partitionOf } from '#core/events/partition.ts'
import { microsOf, textOf } from '#core/events/time.ts'
import { viewPlan } from '../view-registry.ts'
import { showAs } from './shown.ts'

const EVENTS_MAX = 200

type Deps = { db: Database; clock: Clock; features: FeatureObjects }
type KeyPart = string | number | boolean
type Input = { view: string; version?: number; key: KeyPart | KeyPart[]; at?: string }

/** Throws `not_found`, and `invalid_body` for a time that is yet to come. */
export async function explain(deps: Deps, { caller }: Call, input: Input) {
  const { tenantId } = caller
  const at = input.at === undefined ? undefined : timeOf(deps.clock, input.at)
  const { plan, type } = await deps.db.tenant(tenantId, async tx => {
    const unit = { tx, clock: deps.clock }
    const found = await viewPlan(unit, input.view, input.version)
    return { plan: found, type: found && (await events.newestType(unit, found.eventType)) }
  })
  if (!plan || !type) {
    const which = input.version === undefined ? '' : ` with the version ${input.version}`
    throw new AppError('not_found', { public: `There is no feature view "${input.view}"${which}.` })
  }
  const { entity } = plan
  const entityKey = keyOf(input.key, type.entities[entity]!)
  const group = Math.floor(partitionOf(entity, entityKey) / deps.features.partitionsPerObject)
  const object = deps.features.group(tenantId, group)
  const found = await object.explain({ view: plan, entity, entityKey, at, eventsMax: EVENTS_MAX })
  const { values, statuses } = found.views[0]!
  return {
    view: plan.view,
    version: plan.version,
    hash: plan.hash,
    entity,
    entity_key: entityKey,
    partition: found.partition,
    seq: found.seq,
    at: textOf(found.at),
    values: plan.features.map(({ name, output }, i) => ({
      feature: name,
      value: showAs(output)(values[i]!),
      status: statuses[i]!,
    })),
    events: found.events.map(({ eventTime, knownAt, seq, retractedAt, data, ...about }) => ({
      time: textOf(eventTime),
      known_at: textOf(knownAt),
      seq,
      retracted_at: retractedAt === null ? null : textOf(retractedAt),
      data: events.inUnits(type, data),
      features: about.features,
      left_out: about.leftOut,
    })),
    events_total: found.eventsTotal,
  }
}

function timeOf(clock: Clock, text: string): number {
  const at = microsOf(text)
  if (at !== null && at <= clock.now() * 1_000) return at
  const detail =
    at === null
      ? `"${text}" is no time; one is 2026-01-31T12:00:00Z.`
      : 'A time that is yet to come cannot be explained.'
  throw new AppError('invalid_body', { public: detail, errors: [{ pointer: '/at', detail }] })
}

/** As a read takes it: a part alone, or a list of several. */
function keyOf(given: KeyPart | KeyPart[], fields: string | string[]): string {
  const parts = [given].flat().map(String)
  const names = [fields].flat()
  if (parts.length !== names.length) {
    const detail = `The key has ${names.length === 1 ? 'one part' : `${names.length} parts`}: ${names.join(', ')}.`
    throw new AppError('invalid_body', { public: detail, errors: [{ pointer: '/key', detail }] })
  }
  return Array.isArray(fields) && fields.length > 1 ? JSON.stringify(parts) : parts[0]!
}
