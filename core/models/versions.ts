/** Versions of a model: immutable, numbered, and never numbered anew. */
import { and, desc, eq, inArray, lt } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Supply, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import * as jobs from '#core/jobs/jobs.ts'
import { cursorOf, numberPosition, type Page, type PageQuery, pageOf } from '#core/page.ts'
import { audit } from '#core/tenants/tenants.ts'
import { newId } from '#schemas/ids.ts'
import { models, modelVersions } from '#schemas/tables/models.ts'
import type { Tuning } from '#schemas/tuning.ts'
import * as hardware from './hardware.ts'
import * as manifests from './manifest.ts'
import { aliasesOf, locked, modelOf, type Version, versionOf } from './resolve.ts'
import { running } from './rollouts.ts'
import * as validation from './validation.ts'

/** What a column of type integer holds. */
const NUMBER_MAX = 2 ** 31 - 1

export type ShownVersion = ReturnType<typeof shownWith>

/**
 * Adds a version and promises its validation. Publishing the same manifest again returns the version
 * that has it, so a retry makes no second one.
 */
export async function publish(
  unit: Unit & Supply,
  call: Call,
  input: manifests.GivenManifest & { model: string },
): Promise<ShownVersion> {
  const { model: name, ...given } = input
  const manifest = await manifests.checked(unit, given)
  if (manifest.hardware !== undefined) await hardware.demand(unit, manifest.hardware)
  const digest = await manifests.digestOf(manifest)
  const { tenantId } = call.caller
  await unit.tx.insert(models).values({ tenantId, name }).onConflictDoNothing()
  const [model] = await unit.tx.select().from(models).where(eq(models.name, name)).for('update')
  const [same] = await unit.tx
    .select()
    .from(modelVersions)
    .where(
      and(
        eq(modelVersions.model, name),
        eq(modelVersions.digest, digest),
        inArray(modelVersions.state, ['validating', 'ready']),
      ),
    )
  if (same) return shown(unit, same)
  const number = model!.lastNumber + 1
  await unit.tx.update(models).set({ lastNumber: number }).where(eq(models.name, name))
  const now = unit.clock.now()
  const id = newId('version', now)
  const [version] = await unit.tx
    .insert(modelVersions)
    .values({
      tenantId,
      id,
      model: name,
      number,
      digest,
      manifest,
      state: 'validating',
      createdAt: new Date(now),
      askedAt: new Date(now),
    })
    .returning()
  await validation.ask(unit, version!)
  const target = `${name}/versions/${number}`
  await audit.record(unit, call, { action: 'models.publish', target, detail: { digest } })
  return shown(unit, version!)
}

export async function version(unit: Unit, input: { model: string; version: string }) {
  return shown(unit, await versionOf(unit, input.model, input.version))
}

export async function versions(
  unit: Unit,
  input: { model: string } & PageQuery,
): Promise<Page<ShownVersion>> {
  await modelOf(unit, input.model)
  const before = numberPosition('versions', input.cursor, NUMBER_MAX)
  const rows = await unit.tx
    .select()
    .from(modelVersions)
    .where(
      and(
        eq(modelVersions.model, input.model),
        before ? lt(modelVersions.number, before) : undefined,
      ),
    )
    .orderBy(desc(modelVersions.number))
    .limit(input.limit + 1)
  const aliases = await aliasesOf(unit, [input.model])
  return pageOf(
    rows,
    input,
    row => cursorOf('versions', row.number),
    row => shownWith(row, aliases),
  )
}

/** Deletes a version. Refuses with `in_use` while an alias or a running job points at it. */
export async function remove(unit: Unit, call: Call, input: { model: string; version: string }) {
  const row = await locked(unit, input.model, input.version)
  const aliases = (await aliasesOf(unit, [row.model]))
    .filter(alias => alias.number === row.number)
    .map(alias => alias.alias)
  if (aliases.length > 0) {
    throw new AppError('in_use', {
      public: `Version ${row.number} is what ${aliases.map(a => `"${a}"`).join(', ')} points at; move the alias first.`,
    })
  }
  const rollout = await running(unit, row.model)
  if (rollout?.toVersion === row.number) {
    throw new AppError('in_use', {
      public: `Version ${row.number} is what a rollout tries; promote it or roll it back first.`,
    })
  }
  if (await jobs.usesVersion(unit, row.model, row.number)) {
    throw new AppError('in_use', {
      public: `A job that has not ended uses version ${row.number}; wait for it or cancel it.`,
    })
  }
  const [deleted] = await unit.tx
    .update(modelVersions)
    .set({ state: 'deleted' })
    .where(eq(modelVersions.id, row.id))
    .returning()
  const target = `${row.model}/versions/${row.number}`
  await audit.record(unit, call, { action: 'models.delete', target })
  return shown(unit, deleted!)
}

async function shown(unit: Unit, row: Version): Promise<ShownVersion> {
  return shownWith(row, await aliasesOf(unit, [row.model]))
}

function shownWith(row: Version, aliases: { alias: string; number: number }[]) {
  return {
    model: row.model,
    version: row.number,
    digest: row.digest,
    state: row.state,
    aliases: aliases.filter(alias => alias.number === row.number).map(alias => alias.alias),
    manifest: row.manifest,
    signature: row.signature,
    ...found(row.report),
    error: row.error,
    created_at: row.createdAt.toISOString(),
    ready_at: row.readyAt?.toISOString() ?? null,
  }
}

/** The report of validation, and what was measured in it apart. */
function found(report: Version['report']) {
  if (!report) return { report, tuning: null }
  const { tuning, ...rest } = report as { tuning?: Tuning }
  return { report: rest as Record<string, unknown>, tuning: tuning ? shownTuning(tuning) : null }
}

function shownTuning({ hardware, threads, batchRows, rowUs, loadMs, curve }: Tuning) {
  return {
    hardware,
    threads,
    batch_rows: batchRows,
    row_us: rowUs,
    load_ms: loadMs,
    curve: curve.map(({ threads, rows, runUs }) => ({ threads, rows, run_us: runUs })),
  }
}
