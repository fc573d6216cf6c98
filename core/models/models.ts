/** The model registry. The front of this folder: immutable versions and the aliases that point at them. */
import { asc, gt } from 'drizzle-orm'
import type { Servable, Unit } from '#core/deps.ts'
import { cursorOf, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import type { RolloutPlan } from '#schemas/rollout.ts'
import { models } from '#schemas/tables/models.ts'
import { aliasesOf, DEFAULT_ALIAS, modelOf } from './resolve.ts'
import { planFor } from './rollouts.ts'
import { resolveWithServing } from './serving.ts'
import { shownModel, shownWith } from './shown.ts'

export * as aliases from './aliases.ts'
export * as hardware from './hardware.ts'
export { index } from './repository.ts'
export { pin, resolve } from './resolve.ts'
export * as rollouts from './rollouts.ts'
export { served, servedModel } from './served.ts'
export { changeServing, serving } from './serving.ts'
export * as switches from './switches.ts'
export * as uploads from './uploads.ts'
export * as validation from './validation.ts'
export * as verification from './verification.ts'
export { publish, remove, type ShownVersion, version, versions } from './versions.ts'

/** A version that is asked for, with the rollout that runs under the name it was asked by. */
export type Served = { model: Servable; rollout: RolloutPlan<Servable> | null }

/** Throws as `resolve` does. */
export async function resolveServed(unit: Unit, name: string, wanted?: string): Promise<Served> {
  const model = await resolveWithServing(unit, name, wanted)
  return { model, rollout: await planFor(unit, name, wanted ?? DEFAULT_ALIAS) }
}

export async function get(unit: Unit, input: { model: string }) {
  return shownModel(unit, await modelOf(unit, input.model))
}

export async function list(unit: Unit, query: PageQuery) {
  const after = textPosition('models', query.cursor)
  const rows = await unit.tx
    .select()
    .from(models)
    .where(after ? gt(models.name, after) : undefined)
    .orderBy(asc(models.name))
    .limit(query.limit + 1)
  const aliases = await aliasesOf(
    unit,
    rows.map(row => row.name),
  )
  return pageOf(
    rows,
    query,
    row => cursorOf('models', row.name),
    row => shownWith(row, aliases),
  )
}
