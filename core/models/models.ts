/** The model registry: immutable, numbered versions and the aliases that point at them. */
import { and, asc, desc, eq, gt, inArray, lt, max } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Servable, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { sha256Hex } from '#core/internal/signing.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as outbox from '#core/outbox.ts'
import { cursorOf, type Page, type PageQuery, pageOf, positionOf } from '#core/page.ts'
import { audit } from '#core/tenants/tenants.ts'
import { newId, type VersionId } from '#schemas/ids.ts'
import type { Signature } from '#schemas/signature.ts'
import { type Manifest, modelAliases, models, modelVersions } from '#schemas/tables/models.ts'
import * as uploads from './uploads.ts'

export { uploads }

/** The alias that a request without a version means, where it is set. */
export const DEFAULT_ALIAS = 'champion'

type Version = typeof modelVersions.$inferSelect
export type ShownVersion = Awaited<ReturnType<typeof shownVersion>>
/**
 * Adds a version and promises its validation. Publishing the same manifest again returns the version
 * that has it, so a retry makes no second one.
 */
export async function publish(
  unit: Unit,
  call: Call,
  input: Omit<Manifest, 'graph'> & { model: string; graph?: string },
): Promise<ShownVersion> {
  const { model: name, ...given } = input
  const manifest = await checkedManifest(unit, given)
  const digest = await sha256Hex(canonical(manifest))
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
  if (same) return shownVersion(unit, same)
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
    })
    .returning()
  await outbox.promise(unit, tenantId, [{ queue: 'validate', body: { versionId: id } }])
  const target = `${name}/versions/${number}`
  await audit.record(unit, call, { action: 'models.publish', target, detail: { digest } })
  return shownVersion(unit, version!)
}

export type Verdict =
  | { ok: true; signature: Signature; report: Record<string, unknown> }
  | { ok: false; detail: string }

/** Stores what validation found. Only a version that still waits for it changes. */
export async function judge(unit: Unit, versionId: VersionId, verdict: Verdict): Promise<void> {
  await unit.tx
    .update(modelVersions)
    .set(
      verdict.ok
        ? {
            state: 'ready',
            signature: verdict.signature,
            report: verdict.report,
            readyAt: new Date(unit.clock.now()),
          }
        : { state: 'invalid', error: verdict.detail },
    )
    .where(and(eq(modelVersions.id, versionId), eq(modelVersions.state, 'validating')))
}

/** A version that waits for validation; null when it no longer does. */
export async function awaitingVerdict(unit: Unit, versionId: VersionId): Promise<Version | null> {
  const [row] = await unit.tx.select().from(modelVersions).where(eq(modelVersions.id, versionId))
  return row?.state === 'validating' ? row : null
}

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
  }
}

export async function get(unit: Unit, input: { model: string }) {
  const [row] = await unit.tx.select().from(models).where(eq(models.name, input.model))
  if (!row) throw missing(input.model)
  return shownModel(row, await aliasesOf(unit, [row.name]))
}

export async function list(unit: Unit, query: PageQuery) {
  const after = positionOf('models', query.cursor) as string | null
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
    row => shownModel(row, aliases),
  )
}

export async function version(unit: Unit, input: { model: string; version: string }) {
  return shownVersion(unit, await versionOf(unit, input.model, input.version))
}

export async function versions(
  unit: Unit,
  input: { model: string } & PageQuery,
): Promise<Page<ShownVersion>> {
  await get(unit, input)
  const before = positionOf('versions', input.cursor) as number | null
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
  const page = pageOf(
    rows,
    input,
    row => cursorOf('versions', row.number),
    row => row,
  )
  return { ...page, data: await Promise.all(page.data.map(row => shownVersion(unit, row))) }
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
  return shownVersion(unit, deleted!)
}

async function locked(unit: Unit, name: string, wanted: string): Promise<Version> {
  await unit.tx.select().from(models).where(eq(models.name, name)).for('update')
  const row = await versionOf(unit, name, wanted)
  if (row.state === 'deleted') throw missing(name, wanted)
  return row
}

async function versionOf(unit: Unit, name: string, wanted?: string): Promise<Version> {
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

async function aliasesOf(unit: Unit, names: string[]) {
  if (names.length === 0) return []
  return unit.tx
    .select()
    .from(modelAliases)
    .where(inArray(modelAliases.model, names))
    .orderBy(asc(modelAliases.alias))
}

async function checkedManifest(
  unit: Unit,
  given: Omit<Manifest, 'graph'> & { graph?: string },
): Promise<Manifest> {
  const problems: { pointer: string; detail: string }[] = []
  const paths = given.files.map(file => file.path)
  const graph = given.graph ?? paths.find(path => path.endsWith('.onnx')) ?? paths[0]!
  if (!paths.includes(graph)) {
    problems.push({ pointer: '/graph', detail: `no file of the manifest has the path "${graph}"` })
  }
  for (const [index, file] of given.files.entries()) {
    const pointer = `/files/${index}`
    if (paths.indexOf(file.path) !== index)
      problems.push({ pointer, detail: `"${file.path}" is listed twice` })
    const stored = await uploads.fileOf(unit, file.sha256)
    if (!stored)
      problems.push({ pointer, detail: `upload "${file.path}" first: no file has this digest` })
    else if (stored.size !== file.size) {
      problems.push({
        pointer,
        detail: `"${file.path}" has ${stored.size} bytes, not ${file.size}`,
      })
    }
  }
  if (problems.length > 0) {
    throw new AppError('invalid_body', {
      public: `The manifest does not fit what is uploaded: ${problems[0]!.detail}.`,
      errors: problems,
    })
  }
  return { ...given, graph }
}

/** JSON with sorted keys, so that the same manifest has the same digest however it was written. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    inner && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

function shownModel(
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

async function shownVersion(unit: Unit, row: Version) {
  const aliases = await aliasesOf(unit, [row.model])
  return {
    model: row.model,
    version: row.number,
    digest: row.digest,
    state: row.state,
    aliases: aliases.filter(alias => alias.number === row.number).map(alias => alias.alias),
    manifest: row.manifest,
    signature: row.signature,
    report: row.report,
    error: row.error,
    created_at: row.createdAt.toISOString(),
    ready_at: row.readyAt?.toISOString() ?? null,
  }
}

function missing(name: string, wanted?: string): AppError {
  const what =
    wanted === undefined
      ? `a model "${name}" with a ready version`
      : `a version "${wanted}" of a model "${name}"`
  return new AppError('not_found', { public: `There is no ${what.slice(2)}.` })
}
