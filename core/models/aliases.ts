/** The names under which versions serve. A move and its line in the switch log are one transaction. */
import { and, eq } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Servable, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { audit } from '#core/tenants/tenants.ts'
import { modelAliases } from '#schemas/tables/models.ts'
import { locked, lockedModel, modelOf, resolve, serving } from './resolve.ts'
import { endRunning, running, runningLocked } from './rollouts.ts'
import { shownModel } from './shown.ts'
import * as switches from './switches.ts'

/** Points an alias at a ready version; readers see the old one or the new one, nothing between. */
export async function setAlias(
  unit: Unit,
  call: Call,
  input: { model: string; alias: string; version: number },
) {
  const { model, alias, version } = input
  const detail = { alias, version }
  await mustBeReady(unit, model, version)
  await endRunning(unit, { model, alias, state: 'replaced', reason: 'the alias was moved' })
  const moved = await point(unit, call, { ...input, kind: 'flip' })
  await audit.record(unit, call, { action: 'models.alias', target: model, detail })
  return moved
}

export async function removeAlias(unit: Unit, call: Call, input: { model: string; alias: string }) {
  const { model, alias } = input
  const { tenantId, keyId } = call.caller
  const row = await lockedModel(unit, model)
  const [removed] = await unit.tx
    .delete(modelAliases)
    .where(and(eq(modelAliases.model, model), eq(modelAliases.alias, alias)))
    .returning()
  if (!removed) {
    throw new AppError('not_found', { public: `The model "${model}" has no alias "${alias}".` })
  }
  await endRunning(unit, { model, alias, state: 'replaced', reason: 'the alias was removed' })
  const move = { model, alias, kind: 'remove' as const, from: removed.number, to: null }
  await switches.record(unit, { tenantId, actor: keyId }, move)
  await audit.record(unit, call, { action: 'models.unalias', target: model, detail: { alias } })
  return shownModel(unit, row)
}

/** Lets the candidate of the running rollout serve. Throws `conflict` when there is none. */
export async function promote(unit: Unit, call: Call, { model }: { model: string }) {
  await lockedModel(unit, model)
  const rollout = await runningLocked(unit, model)
  if (!rollout) throw noRollout(model)
  const { alias, toVersion: version } = rollout
  await mustBeReady(unit, model, version)
  await endRunning(unit, { model, alias, state: 'promoted', reason: null })
  const moved = await point(unit, call, { model, alias, version, kind: 'promote' })
  const detail = { alias, version }
  await audit.record(unit, call, { action: 'models.promote', target: model, detail })
  return moved
}

/** Ends the running rollout of the alias; where there is none, lets the version before serve again. */
export async function rollback(unit: Unit, call: Call, input: { model: string; alias: string }) {
  const { model, alias } = input
  const row = await lockedModel(unit, model)
  const { tenantId, keyId } = call.caller
  const ended = await endRunning(unit, { model, alias, state: 'rolled_back', reason: null })
  const detail = { alias }
  await audit.record(unit, call, { action: 'models.rollback', target: model, detail })
  if (ended) {
    const { toVersion: from, fromVersion: to } = ended
    const move = { model, alias, kind: 'rollback' as const, from, to }
    const made = await switches.record(unit, { tenantId, actor: keyId }, move)
    return { ...(await shownModel(unit, row)), switch: made }
  }
  const version = await versionBefore(unit, input)
  await mustBeReady(unit, model, version)
  return point(unit, call, { model, alias, version, kind: 'rollback' })
}

/** What a change is about to let serve: it must be warm before. */
export type Change =
  | { kind: 'flip'; model: string; alias: string; version: number }
  | { kind: 'canary' | 'shadow'; model: string; alias: string; version: number }
  | { kind: 'promote'; model: string; alias: string }
  | { kind: 'rollback'; model: string; alias: string }
export type Planned = {
  alias: string
  /** The version to be warm; null: the one that serves already does. */
  to: Servable | null
  /** The version whose runners are to have it. */
  from: Servable | null
}

/** Throws what the change itself would throw for its version. */
export async function planned(unit: Unit, change: Change): Promise<Planned> {
  const { model } = change
  await modelOf(unit, model)
  const rollout = await running(unit, model)
  if (change.kind === 'promote' && !rollout) throw noRollout(model)
  const alias = change.kind === 'promote' ? rollout!.alias : change.alias
  const from = await serving(unit, model, alias)
  if (change.kind === 'promote') return planOf(rollout!.toVersion)
  if (change.kind !== 'rollback') return planOf(change.version)
  if (rollout?.alias === alias) return { alias, to: null, from }
  return planOf(await versionBefore(unit, { model, alias }))

  async function planOf(version: number): Promise<Planned> {
    return { alias, to: await resolve(unit, model, String(version)), from }
  }
}

/** Writes down that a version was not let serve. */
export async function refuse(
  unit: Unit,
  call: Call,
  input: { change: Change; alias: string; from: number | null; to: number; reason: string },
): Promise<void> {
  const { change, reason, alias, from, to } = input
  const { tenantId, keyId } = call.caller
  const move = { model: change.model, alias, kind: change.kind, from, to, reason }
  await switches.record(unit, { tenantId, actor: keyId }, { ...move, outcome: 'refused' })
}

async function point(
  unit: Unit,
  call: Call,
  input: { model: string; alias: string; version: number; kind: 'flip' | 'promote' | 'rollback' },
) {
  const { model, alias, version: number, kind } = input
  const { tenantId, keyId } = call.caller
  const row = await modelOf(unit, model)
  const was = await serving(unit, model, alias)
  await unit.tx
    .insert(modelAliases)
    .values({ tenantId, model, alias, number })
    .onConflictDoUpdate({
      target: [modelAliases.tenantId, modelAliases.model, modelAliases.alias],
      set: { number, updatedAt: new Date(unit.clock.now()) },
    })
  const move = { model, alias, kind, from: was?.version ?? null, to: number }
  const made = await switches.record(unit, { tenantId, actor: keyId }, move)
  return { ...(await shownModel(unit, row)), switch: made }
}

async function mustBeReady(unit: Unit, model: string, version: number): Promise<void> {
  const target = await locked(unit, model, String(version))
  if (target.state === 'ready') return
  throw new AppError('conflict', {
    public: `Version ${version} is ${target.state}; an alias points at a ready one.`,
  })
}

async function versionBefore(unit: Unit, { model, alias }: { model: string; alias: string }) {
  const now = await serving(unit, model, alias)
  const version = now && (await switches.before(unit, { model, alias, version: now.version }))
  if (version) return version
  throw new AppError('conflict', {
    public: now
      ? `"${alias}" is at version ${now.version}, and named none before it; point it at one by its number.`
      : `"${alias}" names no version of "${model}"; point it at one.`,
  })
}

function noRollout(model: string): AppError {
  return new AppError('conflict', {
    public: `No rollout of "${model}" is running; begin one, or point the alias at a version.`,
  })
}
