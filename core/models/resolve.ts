/** What a name in a request means: a model, and of it a version by number, by alias or by default. */
import { and, asc, eq, inArray, max } from 'drizzle-orm'
import type { Servable, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { modelAliases, models, modelVersions } from '#schemas/tables/models.ts'
import type { RunSettings, Tuning } from '#schemas/tuning.ts'

/** The alias that a request without a version means, where it is set. */
export const DEFAULT_ALIAS = 'champion'

export type ModelRow = typeof models.$inferSelect
export type Version = typeof modelVersions.$inferSelect

/** The version that a request means: by number, by alias, or by default `champion` or the newest. */
export async function resolve(unit: Unit, name: string, wanted?: string): Promise<Servable> {
  const found = await versionOf(unit, name, wanted)
  if (found.state === 'deleted') throw missing(name, wanted)
  if (found.state !== 'ready') {
    throw new AppError('conflict', {
      public: `Version ${found.number} of "${name}" is ${found.state}${found.error ? `: ${found.error}` : '.'}`,
    })
  }
  return {
    model: name,
    version: found.number,
    digest: found.digest,
    manifest: found.manifest,
    signature: found.signature!,
    tuning: settingsOf(found),
  }
}

function settingsOf({ report }: Version): RunSettings | undefined {
  const tuning = report?.tuning as Tuning | undefined
  if (!tuning) return undefined
  const { hardware, threads, batchRows, rowUs } = tuning
  return { hardware, threads, batchRows, rowUs }
}

/**
 * Resolves, and keeps the version from being deleted until this transaction has ended: by then what
 * uses it is there to be seen.
 */
export async function pin(unit: Unit, name: string, wanted?: string): Promise<Servable> {
  await unit.tx.select().from(models).where(eq(models.name, name)).for('share')
  return resolve(unit, name, wanted)
}

/** A version to be changed: its model is locked, so that aliases and deletions come one by one. */
export async function locked(unit: Unit, name: string, wanted: string): Promise<Version> {
  await unit.tx.select().from(models).where(eq(models.name, name)).for('update')
  const row = await versionOf(unit, name, wanted)
  if (row.state === 'deleted') throw missing(name, wanted)
  return row
}

/** A model of which something is to be changed: changes come one by one. */
export async function lockedModel(unit: Unit, name: string): Promise<ModelRow> {
  const [row] = await unit.tx.select().from(models).where(eq(models.name, name)).for('update')
  if (!row) throw missing(name)
  return row
}

/** What serves under an alias now; null: nothing does. */
export async function serving(unit: Unit, name: string, alias: string): Promise<Servable | null> {
  try {
    return await resolve(unit, name, alias === DEFAULT_ALIAS ? undefined : alias)
  } catch (error) {
    if (error instanceof AppError && error.code === 'not_found') return null
    throw error
  }
}

export async function modelOf(unit: Unit, name: string) {
  const [row] = await unit.tx.select().from(models).where(eq(models.name, name))
  if (!row) throw missing(name)
  return row
}

export async function versionOf(unit: Unit, name: string, wanted?: string): Promise<Version> {
  const number =
    wanted === undefined ? await defaultNumber(unit, name) : await numberOf(unit, name, wanted)
  if (number === null) throw missing(name, wanted)
  const [row] = await unit.tx
    .select()
    .from(modelVersions)
    .where(and(eq(modelVersions.model, name), eq(modelVersions.number, number)))
  if (!row) throw missing(name, wanted)
  return row
}

export async function aliasesOf(unit: Unit, names: string[]) {
  if (names.length === 0) return []
  return unit.tx
    .select()
    .from(modelAliases)
    .where(inArray(modelAliases.model, names))
    .orderBy(asc(modelAliases.alias))
}

async function numberOf(unit: Unit, name: string, wanted: string): Promise<number | null> {
  if (/^[1-9][0-9]{0,8}$/.test(wanted)) return Number(wanted)
  const [row] = await unit.tx
    .select({ number: modelAliases.number })
    .from(modelAliases)
    .where(and(eq(modelAliases.model, name), eq(modelAliases.alias, wanted)))
  return row?.number ?? null
}

async function defaultNumber(unit: Unit, name: string): Promise<number | null> {
  const named = await numberOf(unit, name, DEFAULT_ALIAS)
  if (named !== null) return named
  const [row] = await unit.tx
    .select({ number: max(modelVersions.number) })
    .from(modelVersions)
    .where(and(eq(modelVersions.model, name), eq(modelVersions.state, 'ready')))
  return row?.number ?? null
}

export function missing(name: string, wanted?: string): AppError {
  return new AppError('not_found', {
    public:
      wanted === undefined
        ? `There is no model "${name}" with a ready version.`
        : `There is no version "${wanted}" of a model "${name}".`,
  })
}
