/** The model registry. The front of this folder: immutable versions and the aliases that point at them. */
import { and, asc, eq, gt } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { cursorOf, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import { audit } from '#core/tenants/tenants.ts'
import { modelAliases, models } from '#schemas/tables/models.ts'
import { aliasesOf, locked, modelOf } from './resolve.ts'

export { pin, resolve } from './resolve.ts'
export { served, servedModel } from './served.ts'
export { changeServing, resolveWithServing, serving } from './serving.ts'
export * as uploads from './uploads.ts'
export * as validation from './validation.ts'
export { publish, remove, type ShownVersion, version, versions } from './versions.ts'

export async function get(unit: Unit, input: { model: string }) {
  const row = await modelOf(unit, input.model)
  return shown(row, await aliasesOf(unit, [row.name]))
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
    row => shown(row, aliases),
  )
}

/** Points an alias at a ready version; readers see the old one or the new one, nothing between. */
export async function setAlias(
  unit: Unit,
  call: Call,
  input: { model: string; alias: string; version: number },
) {
  const target = await locked(unit, input.model, String(input.version))
  if (target.state !== 'ready') {
    throw new AppError('conflict', {
      public: `Version ${input.version} is ${target.state}; an alias points at a ready one.`,
    })
  }
  const { tenantId } = call.caller
  const { model, alias, version: number } = input
  await unit.tx
    .insert(modelAliases)
    .values({ tenantId, model, alias, number })
    .onConflictDoUpdate({
      target: [modelAliases.tenantId, modelAliases.model, modelAliases.alias],
      set: { number, updatedAt: new Date(unit.clock.now()) },
    })
  const detail = { alias, version: number }
  await audit.record(unit, call, { action: 'models.alias', target: model, detail })
  return get(unit, { model })
}

export async function removeAlias(unit: Unit, call: Call, input: { model: string; alias: string }) {
  const { model, alias } = input
  const [removed] = await unit.tx
    .delete(modelAliases)
    .where(and(eq(modelAliases.model, model), eq(modelAliases.alias, alias)))
    .returning()
  if (!removed) {
    throw new AppError('not_found', { public: `The model "${model}" has no alias "${alias}".` })
  }
  await audit.record(unit, call, { action: 'models.unalias', target: model, detail: { alias } })
  return get(unit, { model })
}

function shown(
  row: typeof models.$inferSelect,
  aliases: { model: string; alias: string; number: number }[],
) {
  const own = aliases.filter(alias => alias.model === row.name)
  return {
    name: row.name,
    latest: row.lastNumber,
    aliases: Object.fromEntries(own.map(alias => [alias.alias, alias.number])),
    created_at: row.createdAt.toISOString(),
  }
}
