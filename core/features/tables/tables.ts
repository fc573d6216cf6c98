/**
 * Imported tables. A row is an event of the type `table.<name>`: it has its place in the log and in the objects
 * of its entities, and whatever is computed from it is the same online and offline, like all else. The newest
 * row of an entity is what `last` gives.
 */
import { and, asc, desc, eq, gt, sql } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import * as jobs from '#core/jobs/jobs.ts'
import { cursorOf, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import type { EventTypeDefinition } from '#schemas/contracts/events.ts'
import { type EventType, TABLE_PREFIX } from '#schemas/event.ts'
import type { StepId } from '#schemas/ids.ts'
import { featureTables } from '#schemas/tables/features.ts'
import { type ImportSpec, type InputFile, runs } from '#schemas/tables/jobs.ts'

/** As long as types may say: rows of tables are few for each entity. */
const ONLINE_DAYS = 400
const EXPIRES_S = 7 * 86_400

type Row = typeof featureTables.$inferSelect
type Input = Pick<EventTypeDefinition, 'fields' | 'entities'> & {
  table: string
  file: Omit<InputFile, 'size'>
  time?: string
}
/** Of a complete file of the tenant. */
type SizeOf = (sha256: string) => Promise<number | undefined>

export type Assignment = jobs.Assigned<'import'> & {
  spec: ImportSpec
  type: EventType
}
export type Outcome = { kind: 'import'; rows: number }

/** Declares the type and starts the import; the same again is the version that there is, unless it failed. */
export async function put(unit: Unit, call: Call, input: Input, sizeOf: SizeOf) {
  const { tenantId } = call.caller
  const { table: name, file, fields, entities, time = null } = input
  const size = await sizeOf(file.sha256)
  if (size === undefined) {
    throw wrong(
      '/file/sha256',
      'file.sha256 names no complete upload of this tenant; upload the file first.',
    )
  }
  await unit.tx.execute(sql`select pg_advisory_xact_lock(hashtext(${`${tenantId} table ${name}`}))`)
  const type = TABLE_PREFIX + name
  const declared = await events.declare(unit, call, {
    type,
    fields,
    entities,
    online_days: ONLINE_DAYS,
  })
  const [newest] = await versionsOf(unit, name, 1)
  const isSame =
    newest?.table.sha256 === file.sha256 &&
    newest.table.time === time &&
    newest.table.format === file.format &&
    newest.table.typeVersion === declared.version
  if (newest && isSame && !['failed', 'canceled', 'expired'].includes(newest.run.state)) {
    return shown(newest)
  }
  const now = unit.clock.now()
  const version = (newest?.table.version ?? 0) + 1
  const spec: ImportSpec = {
    table: name,
    tableVersion: version,
    importedAt: now * 1_000,
    time,
    input: { ...file, size },
  }
  const plan = { kind: 'import' as const, first: 'import' as const, spec, expiresInS: EXPIRES_S }
  const job = await jobs.start(unit, call, plan)
  const row: Row = {
    tenantId,
    name,
    version,
    ...file,
    size,
    time,
    typeVersion: declared.version,
    runId: job.id,
    createdAt: new Date(now),
  }
  await unit.tx.insert(featureTables).values(row)
  const [put] = await versionsOf(unit, name, 1)
  return shown(put!)
}

export async function list(unit: Unit, query: PageQuery) {
  const after = textPosition('tables', query.cursor)
  const rows = await unit.tx
    .selectDistinctOn([featureTables.name], { table: featureTables, run: runs })
    .from(featureTables)
    .innerJoin(runs, ofRun)
    .where(after ? gt(featureTables.name, after) : undefined)
    .orderBy(asc(featureTables.name), desc(featureTables.version))
    .limit(query.limit + 1)
  return pageOf(rows, query, row => cursorOf('tables', row.table.name), shown)
}

export async function get(unit: Unit, { table }: { table: string }) {
  const versions = await versionsOf(unit, table, 1_000)
  if (versions.length > 0) return { versions: versions.map(shown) }
  throw new AppError('not_found', { public: `There is no table "${table}".` })
}

export async function assignment(unit: Unit, leased: jobs.leases.Leased): Promise<Assignment> {
  const { run } = leased
  const spec = run.spec as ImportSpec
  const type = await events.newestType(unit, TABLE_PREFIX + spec.table)
  if (!type) throw new AppError('internal', { internal: `no type of the table ${spec.table}` })
  return {
    ...jobs.assigned<'import'>(leased),
    spec,
    type,
  }
}

export async function finish(
  unit: Unit,
  { outcome, ...lease }: { stepId: StepId; epoch: number; outcome: Outcome },
): Promise<void> {
  const { rows } = outcome
  await jobs.leases.complete(unit, {
    ...lease,
    output: {},
    rowsTotal: rows,
    rowsDone: rows,
    result: {},
  })
}

type Found = { table: Row; run: typeof runs.$inferSelect }
const ofRun = and(eq(runs.tenantId, featureTables.tenantId), eq(runs.id, featureTables.runId))

/** The newest first. */
function versionsOf(unit: Unit, name: string, max: number): Promise<Found[]> {
  return unit.tx
    .select({ table: featureTables, run: runs })
    .from(featureTables)
    .innerJoin(runs, ofRun)
    .where(eq(featureTables.name, name))
    .orderBy(desc(featureTables.version))
    .limit(max)
}

function shown({ table, run }: Found) {
  const { name, version, sha256, size, format, time } = table
  return {
    name,
    version,
    file: { sha256, size, format },
    time,
    event_type: TABLE_PREFIX + name,
    event_type_version: table.typeVersion,
    job: table.runId,
    state: run.state,
    rows: run.rowsTotal,
    rows_done: run.rowsDone,
    error: run.error,
    created_at: table.createdAt.toISOString(),
  }
}

function wrong(pointer: string, detail: string): AppError {
  return new AppError('invalid_body', { public: detail, errors: [{ pointer, detail }] })
}
