/**
 * Rollouts: a candidate tried beside the version that an alias names. A canary answers a share of the
 * requests; a shadow answers none, and its answers are compared. All that a rollout is stands in its row:
 * whoever dies, dies between two states of it.
 */
import { and, desc, eq } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Servable, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { audit } from '#core/tenants/tenants.ts'
import { newId, type RolloutId, type TenantId } from '#schemas/ids.ts'
import type { Guard, Report, RolloutPlan, Tolerance } from '#schemas/rollout.ts'
import { modelRollouts, type RolloutState } from '#schemas/tables/rollouts.ts'
import { lockedModel, modelOf, serving, versionOf } from './resolve.ts'
import { emptyReport, merged, verdictOn } from './rollout/report.ts'
import { shownReport } from './rollout/shown.ts'
import { resolveWithServing } from './serving.ts'
import * as switches from './switches.ts'

type Row = typeof modelRollouts.$inferSelect
export type Wanted = {
  model: string
  version: number
  alias: string
  mode: 'canary' | 'shadow'
  percent: number
  tolerance: Tolerance
  guard: Guard
}

/** Begins a rollout, or changes the share and the guard of the one that runs with this version. */
export async function put(unit: Unit, call: Call, wanted: Wanted) {
  const { model, alias, mode, version, percent, tolerance, guard } = wanted
  const { tenantId, keyId } = call.caller
  await lockedModel(unit, model)
  const stable = await mustServe(unit, wanted)
  const known = await runningLocked(unit, model)
  const isSame = known?.alias === alias && known.toVersion === version && known.mode === mode
  const detail = { alias, version, mode, percent }
  await audit.record(unit, call, { action: 'models.rollout', target: model, detail })
  if (isSame) return shown(await update(unit, known.id, { percent, tolerance, guard }))
  if (known) {
    const reason = `a rollout of version ${version} took its place`
    await endRunning(unit, { model, alias: known.alias, state: 'replaced', reason })
  }
  const now = unit.clock.now()
  const [row] = await unit.tx
    .insert(modelRollouts)
    .values({
      tenantId,
      id: newId('rollout', now),
      ...{ model, alias, mode, percent, tolerance, guard },
      fromVersion: stable.version,
      toVersion: version,
      state: 'running',
      report: emptyReport(),
      createdBy: keyId,
      createdAt: new Date(now),
    })
    .returning()
  const move = { model, alias, kind: mode, from: stable.version, to: version }
  const reason = `${percent} % of the requests`
  await switches.record(unit, { tenantId, actor: keyId }, { ...move, reason })
  return shown(row!)
}

/** The one that runs, or the last that did. */
export async function get(unit: Unit, { model }: { model: string }) {
  await modelOf(unit, model)
  const [row] = await unit.tx
    .select()
    .from(modelRollouts)
    .where(eq(modelRollouts.model, model))
    .orderBy(desc(modelRollouts.id))
    .limit(1)
  if (row) return shown(row)
  throw new AppError('not_found', { public: `There was no rollout of "${model}" yet.` })
}

export async function running(unit: Unit, model: string): Promise<Row | null> {
  const [row] = await select(unit, model)
  return row ?? null
}

/** The same, and nobody ends it until this transaction has. */
export async function runningLocked(unit: Unit, model: string): Promise<Row | null> {
  const [row] = await select(unit, model).for('update')
  return row ?? null
}

function select(unit: Unit, model: string) {
  return unit.tx
    .select()
    .from(modelRollouts)
    .where(and(eq(modelRollouts.model, model), eq(modelRollouts.state, 'running')))
}

/** Ends the rollout that runs on the alias. Its last state is returned; null: there was none. */
export async function endRunning(
  unit: Unit,
  input: { model: string; alias: string; state: RolloutState; reason: string | null },
): Promise<Row | null> {
  const row = await runningLocked(unit, input.model)
  if (!row || row.alias !== input.alias) return null
  const { state, reason } = input
  return update(unit, row.id, { state, reason, endedAt: new Date(unit.clock.now()) })
}

/** How an edge is to follow the rollout of what a request names; null: there is none. */
export async function planFor(
  unit: Unit,
  name: string,
  alias: string,
): Promise<RolloutPlan<Servable> | null> {
  const row = await running(unit, name)
  if (!row || row.alias !== alias) return null
  const { id, mode, percent, tolerance } = row
  const candidate = await resolveWithServing(unit, name, String(row.toVersion)).catch(error => {
    if (error instanceof AppError) return null
    throw error
  })
  return candidate && { id, mode, percent, tolerance, candidate }
}

/**
 * Adds what an edge saw, and rolls back when a guard is broken. False: it does not run any more. What is
 * told twice is counted twice: an edge tells each of its sums once and does not insist.
 */
export async function observe(
  unit: Unit,
  tenantId: TenantId,
  input: { id: RolloutId; seen: Report },
): Promise<boolean> {
  const [row] = await unit.tx
    .select()
    .from(modelRollouts)
    .where(eq(modelRollouts.id, input.id))
    .for('update')
  if (row?.state !== 'running') return false
  const report = merged(row.report, input.seen)
  const reason = verdictOn(row.mode, row.guard, report)
  if (!reason) {
    await update(unit, row.id, { report })
    return true
  }
  const endedAt = new Date(unit.clock.now())
  await update(unit, row.id, { report, state: 'rolled_back', reason, endedAt })
  const { model, alias, toVersion: from, fromVersion: to } = row
  const move = { model, alias, kind: 'rollback' as const, from, to, reason }
  await switches.record(unit, { tenantId, actor: switches.GALLEY }, move)
  return false
}

async function mustServe(unit: Unit, wanted: Wanted): Promise<Servable> {
  const { model, alias, version } = wanted
  const candidate = await versionOf(unit, model, String(version))
  if (candidate.state !== 'ready') {
    throw new AppError('conflict', {
      public: `Version ${version} is ${candidate.state}; a rollout tries a ready one.`,
    })
  }
  const stable = await serving(unit, model, alias)
  if (!stable || stable.version === version) {
    throw new AppError('conflict', {
      public: stable
        ? `"${alias}" is at version ${version} already; a rollout tries another one.`
        : `"${alias}" names no version of "${model}" yet; point it at the one that serves.`,
    })
  }
  return stable
}

async function update(unit: Unit, id: RolloutId, set: Partial<Row>): Promise<Row> {
  const [row] = await unit.tx
    .update(modelRollouts)
    .set(set)
    .where(eq(modelRollouts.id, id))
    .returning()
  return row!
}

function shown(row: Row) {
  return {
    id: row.id,
    model: row.model,
    alias: row.alias,
    mode: row.mode,
    from: row.fromVersion,
    version: row.toVersion,
    percent: row.percent,
    tolerance: row.tolerance,
    guard: row.guard,
    state: row.state,
    reason: row.reason,
    report: shownReport(row.report),
    created_at: row.createdAt.toISOString(),
    ended_at: row.endedAt?.toISOString() ?? null,
  }
}
