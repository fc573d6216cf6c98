/** A model as callers see it. */
import type { Unit } from '#core/deps.ts'
import { aliasesOf, type ModelRow } from './resolve.ts'

export async function shownModel(unit: Unit, row: ModelRow) {
  return shownWith(row, await aliasesOf(unit, [row.name]))
}

export function shownWith(
  row: ModelRow,
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
