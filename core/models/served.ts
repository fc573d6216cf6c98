/** Models that can be asked now, in the form of OpenAI's listing. */
import { and, asc, eq, exists, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { models, modelVersions } from '#schemas/tables/models.ts'
import { missing } from './resolve.ts'

/** That listing knows no pages. */
const SERVED_MAX = 10_000

/** By name; those without a ready version are left out. */
export async function served(unit: Unit) {
  const rows = await unit.tx
    .select()
    .from(models)
    .where(isReady(unit))
    .orderBy(asc(models.name))
    .limit(SERVED_MAX)
  return rows.map(shown)
}

/** Throws `not_found`. */
export async function servedModel(unit: Unit, { model }: { model: string }) {
  const [row] = await unit.tx
    .select()
    .from(models)
    .where(and(eq(models.name, model), isReady(unit)))
  if (!row) throw missing(model)
  return shown(row)
}

function isReady(unit: Unit) {
  const ready = unit.tx
    .select({ one: sql`1` })
    .from(modelVersions)
    .where(and(eq(modelVersions.model, models.name), eq(modelVersions.state, 'ready')))
  return exists(ready)
}

function shown({ name, createdAt, tenantId }: typeof models.$inferSelect) {
  const created = Math.floor(createdAt.getTime() / 1_000)
  return { id: name, object: 'model' as const, created, owned_by: tenantId }
}
